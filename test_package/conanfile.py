# SPDX-License-Identifier: BSL-1.0
"""Builds and runs tests/install, a user's project, against the package, with the components that were asked for."""
import os

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout

PROGRAMS = {"tls": "tls_consumer", "gzip": "gzip_consumer", "rdkafka": "kafka_consumer",
            "prometheus": "prometheus_consumer"}


class BulkheadTest(ConanFile):
    settings = ("os", "arch", "compiler", "build_type")

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def components(self):
        options = self.dependencies["bulkhead"].options
        return [component for component in PROGRAMS if options.get_safe(component) == "True"]

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False
        for component in self.components():
            toolchain.cache_variables[f"WITH_{component.upper()}"] = True
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure(build_script_folder=os.path.join(os.pardir, "tests", "install"))
        cmake.build()

    def test(self):
        if can_run(self):
            for program in ["consumer", *(PROGRAMS[component] for component in self.components())]:
                self.run(os.path.join(self.cpp.build.bindir, program), env="conanrun")
