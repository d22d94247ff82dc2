# Third-party libraries, by pkg-config. Each has a short page in docs/decisions/ that says why it is here.
# Their headers are SYSTEM (imported targets are by default), so that our warnings are about our code.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3)
pkg_check_modules(CZMQ IMPORTED_TARGET libczmq>=4.2)
pkg_check_modules(POPT REQUIRED IMPORTED_TARGET popt)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(NCURSESW REQUIRED IMPORTED_TARGET ncursesw)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
if(STW_TESTS)
  pkg_check_modules(CHECK IMPORTED_TARGET check>=0.15)
endif()

# libraft: guards of ours touch what it does not offer (broker/journal/consensus_library.c), so only versions that the
# simulation has run against will do. Debian 12's own 0.15.0 loses committed entries.
set(STW_RAFT_TRIED 0.22.1)
pkg_check_modules(RAFT IMPORTED_TARGET raft)
if(NOT RAFT_FOUND OR RAFT_VERSION VERSION_LESS 0.22.1)
  message(FATAL_ERROR "libraft 0.22.1 or newer is needed, found: '${RAFT_VERSION}'. It is libraft-dev of Debian 13, and of "
                      "bookworm-backports for Debian 12; './dev build' installs it.")
elseif(NOT RAFT_VERSION IN_LIST STW_RAFT_TRIED)
  message(FATAL_ERROR "libraft ${RAFT_VERSION} has not been tried (tried: ${STW_RAFT_TRIED}). docs/decisions/libraft.md "
                      "says how to try it.")
endif()

# steward_find(NAME HEADER LIBRARY...): the same target for a library whose .pc file cannot be relied on.
function(steward_find name header)
  if(TARGET PkgConfig::${name})
    return()
  endif()
  find_library(${name}_LIBRARY NAMES ${ARGN} REQUIRED)
  find_path(${name}_INCLUDE ${header} REQUIRED)
  add_library(PkgConfig::${name} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(PkgConfig::${name} INTERFACE "${${name}_LIBRARY}")
  target_include_directories(PkgConfig::${name} SYSTEM INTERFACE "${${name}_INCLUDE}")
endfunction()

# The C library is msgpackc up to 5.0 and msgpack-c from 6.0; Debian 13's .pc file names a relative directory.
steward_find(MSGPACK msgpack.h msgpack-c msgpackc)
get_filename_component(MSGPACK_NAME "${MSGPACK_LIBRARY}" NAME_WE)
string(REGEX REPLACE "^lib" "" MSGPACK_NAME "${MSGPACK_NAME}")
# libczmq.pc names private requirements (systemd, nss, uuid) that its package does not always bring along.
steward_find(CZMQ czmq.h czmq)

# Header-only: nothing to link (xxhash is used with XXH_INLINE_ALL).
find_path(UTHASH_INCLUDE uthash.h REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
