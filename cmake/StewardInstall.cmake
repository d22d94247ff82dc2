# What `cmake --install` puts where.

# Relative to the file itself: true wherever --prefix or a package puts it.
file(RELATIVE_PATH STEWARD_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" STEWARD_PC_PREFIX "${STEWARD_PC_PREFIX}")
configure_file("${CMAKE_SOURCE_DIR}/cmake/steward.pc.in" "${CMAKE_BINARY_DIR}/steward.pc" @ONLY)

foreach(program stewardd steward)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()
if(TARGET steward_shared)
  file(GLOB headers CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/client/include/*.h")
  install(FILES ${headers} "${CMAKE_SOURCE_DIR}/common/base/steward_errors.h"
          DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(TARGETS steward_shared steward_static
          LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
          ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(FILES "${CMAKE_BINARY_DIR}/steward.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endif()
