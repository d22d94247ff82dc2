# Third-party libraries, by pkg-config. Each has a short page in docs/decisions/ that says why it is here.
# Their headers are SYSTEM (imported targets are by default), so that our warnings are about our code.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3)
pkg_check_modules(CZMQ IMPORTED_TARGET libczmq>=4.2)
# The C library is packaged as msgpack (to 5.0) or msgpack-c (from 6.0).
pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET msgpack-c msgpack)
pkg_check_modules(POPT REQUIRED IMPORTED_TARGET popt)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
if(STW_TESTS)
  pkg_check_modules(CHECK IMPORTED_TARGET check>=0.15)
endif()

# libczmq.pc names private requirements (systemd, nss, uuid) that its package does not always bring along.
if(NOT TARGET PkgConfig::CZMQ)
  find_library(CZMQ_LIBRARY czmq REQUIRED)
  find_path(CZMQ_INCLUDE czmq.h REQUIRED)
  add_library(PkgConfig::CZMQ INTERFACE IMPORTED)
  target_link_libraries(PkgConfig::CZMQ INTERFACE "${CZMQ_LIBRARY}")
  target_include_directories(PkgConfig::CZMQ SYSTEM INTERFACE "${CZMQ_INCLUDE}")
endif()

# Header-only: nothing to link (xxhash is used with XXH_INLINE_ALL).
find_path(UTHASH_INCLUDE uthash.h REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
