# What `cmake --install` puts where, and which package has it (a component each).
set(_packaging "${CMAKE_SOURCE_DIR}/cmake/packaging")
include("${_packaging}/manual.cmake")

# Relative to the file itself: true wherever --prefix or a package puts it.
file(RELATIVE_PATH STEWARD_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" STEWARD_PC_PREFIX "${STEWARD_PC_PREFIX}")
configure_file("${CMAKE_SOURCE_DIR}/cmake/steward.pc.in" "${CMAKE_BINARY_DIR}/steward.pc" @ONLY)

# ---- the programs -------------------------------------------------------------------------------------------------
foreach(program stewardd steward)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT ${program})
  endif()
endforeach()

# ---- the library --------------------------------------------------------------------------------------------------
if(TARGET steward_shared)
  set(_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Steward")
  file(GLOB headers CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/client/include/*.h")
  install(FILES ${headers} "${CMAKE_SOURCE_DIR}/common/base/steward_errors.h"
          DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT libsteward-dev)
  install(TARGETS steward_shared EXPORT Steward
          LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT libsteward1 NAMELINK_COMPONENT libsteward-dev
          INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(TARGETS steward_static ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT libsteward-dev)
  install(FILES "${CMAKE_BINARY_DIR}/steward.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig"
          COMPONENT libsteward-dev)
  install(EXPORT Steward NAMESPACE Steward:: FILE StewardTargets.cmake DESTINATION "${_cmake_dir}"
          COMPONENT libsteward-dev)
  include(CMakePackageConfigHelpers)
  configure_file("${_packaging}/StewardConfig.cmake.in" "${CMAKE_BINARY_DIR}/StewardConfig.cmake" @ONLY)
  write_basic_package_version_file("${CMAKE_BINARY_DIR}/StewardConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${CMAKE_BINARY_DIR}/StewardConfig.cmake" "${CMAKE_BINARY_DIR}/StewardConfigVersion.cmake"
          DESTINATION "${_cmake_dir}" COMPONENT libsteward-dev)
endif()

# ---- what is made from the programs' tables -----------------------------------------------------------------------
# steward_manual(COMPONENT PATTERN SECTION): pages, compressed as Debian wants them.
function(steward_manual component section pattern)
  install(CODE "
    file(GLOB pages \"${STW_MANUAL_DIR}/man/man${section}/${pattern}\")
    set(to \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man${section}\")
    file(MAKE_DIRECTORY \"\${to}\")
    foreach(page IN LISTS pages)
      get_filename_component(name \"\${page}\" NAME)
      execute_process(COMMAND gzip -9nc \"\${page}\" OUTPUT_FILE \"\${to}/\${name}.gz\" COMMAND_ERROR_IS_FATAL ANY)
    endforeach()" COMPONENT ${component})
endfunction()

if(STW_MANUAL)
  steward_manual(stewardd 8 "*.8")
  steward_manual(stewardd 5 "*.5")
  steward_manual(steward 1 "*.1")
  steward_manual(libsteward-dev 3 "*.3")
  foreach(program stewardd steward)
    install(FILES "${STW_MANUAL_DIR}/completions/${program}"
            DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/bash-completion/completions" COMPONENT ${program})
  endforeach()
  # /etc for the prefix /usr; else below the prefix, also one that `cmake --install --prefix` gives
  set(_etc "${CMAKE_INSTALL_SYSCONFDIR}")
  if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(_etc "${CMAKE_INSTALL_FULL_SYSCONFDIR}")
  endif()
  install(FILES "${STW_MANUAL_DIR}/steward.conf" DESTINATION "${_etc}/steward" COMPONENT stewardd)
endif()

# ---- the service --------------------------------------------------------------------------------------------------
configure_file("${_packaging}/stewardd.service.in" "${CMAKE_BINARY_DIR}/stewardd.service" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/stewardd.service" DESTINATION lib/systemd/system COMPONENT stewardd)
install(FILES "${_packaging}/steward.sysusers" RENAME steward.conf DESTINATION lib/sysusers.d COMPONENT stewardd)
install(FILES "${_packaging}/steward.tmpfiles" RENAME steward.conf DESTINATION lib/tmpfiles.d COMPONENT stewardd)

include("${_packaging}/package.cmake")
