# SPDX-License-Identifier: BSL-1.0
"""The Conan 2 recipe of bulkhead. docs/start.md shows its use; packaging/conan/system.profile is for machines
whose Boost, OpenSSL, libdeflate, librdkafka and prometheus-cpp come from the system.

The package holds what `cmake --install` leaves, and consumers find the library's own bulkheadConfig.cmake, which looks for
the dependencies by find_package: those of Conan's CMakeDeps or the system's.
"""
import pathlib
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout

OPTIONAL = {"tls": "openssl/[>=3.0 <4]", "gzip": "libdeflate/[>=1.14 <2]", "rdkafka": "librdkafka/[>=2.0.2 <3]",
            "prometheus": "prometheus-cpp/[>=1.0 <2]"}
OLDEST_COMPILER = {"gcc": 12, "clang": 14}


class Bulkhead(ConanFile):
    name = "bulkhead"
    description = "Bulk indexing into Elasticsearch and OpenSearch that never makes the caller wait"
    license = "BSL-1.0"
    topics = ("elasticsearch", "opensearch", "kafka", "asio", "header-only")
    package_type = "header-library"
    settings = ("os", "arch", "compiler", "build_type")
    # Each brings in what find_package(bulkhead COMPONENTS <option>) needs. Off: a plain client needs Boost alone.
    options = {option: [True, False] for option in OPTIONAL}
    default_options = {option: False for option in OPTIONAL}
    exports = ("include/bulkhead/version.hpp",)
    exports_sources = ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*")

    def set_version(self):
        header = pathlib.Path(self.recipe_folder, "include/bulkhead/version.hpp").read_text(encoding="utf-8")
        self.version = ".".join(re.findall(r"^#define BULKHEAD_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.M))

    def requirements(self):
        wanted = [requirement for option, requirement in OPTIONAL.items() if self.options.get_safe(option)]
        for requirement in ["boost/[>=1.81.0 <2]", *wanted]:
            self.requires(requirement, transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)
        oldest = OLDEST_COMPILER.get(str(self.settings.compiler), 0)
        if int(str(self.settings.compiler.version).split(".", maxsplit=1)[0]) < oldest:
            raise ConanInvalidConfiguration(f"bulkhead needs {self.settings.compiler} {oldest} or newer")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        for programs in ("TESTS", "EXAMPLES", "BENCHMARKS"):
            toolchain.cache_variables[f"BULKHEAD_BUILD_{programs}"] = False
        toolchain.generate()

    def build(self):
        CMake(self).configure()  # there is nothing to compile

    def package(self):
        CMake(self).install()

    def package_id(self):
        self.info.clear()  # the same files for every compiler and option

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.builddirs = ["lib/cmake/bulkhead"]
        self.cpp_info.set_property("cmake_find_mode", "none")
