# What bulkhead needs comes from the system, and nothing from a remote. On Debian 12: libboost1.81-dev
# libboost-json1.81-dev libboost-url1.81-dev, and by option libssl-dev, libdeflate-dev, librdkafka-dev,
# prometheus-cpp-dev. The versions are Debian 12's: name yours when they are others. The include brings in your own profile, for compiler and architecture.
include(default)

[settings]
compiler.cppstd=20

[platform_requires]
boost/1.81.0
openssl/3.0.0
libdeflate/1.14
librdkafka/2.0.2
prometheus-cpp/1.0.1
