# CPack: four .deb packages. `./dev package` configures for them (prefix /usr) and runs cpack.

set(STW_MAINTAINER "Steward maintainers <maintainers@users.noreply.github.com>" CACHE STRING "Who packages this")
set(STW_DEB_REVISION 1 CACHE STRING "Revision of the Debian packages")
string(TIMESTAMP _date "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH where that is set
set(STW_PACKAGE_DATE "${_date}")
set(STW_DEB_VERSION "${PROJECT_VERSION}-${STW_DEB_REVISION}")
set(_here "${CMAKE_CURRENT_LIST_DIR}")
set(_debian "${CMAKE_BINARY_DIR}/debian")
configure_file("${_here}/changelog.in" "${_debian}/changelog.Debian" @ONLY)

# steward_debian(COMPONENT): what each package must have beside its files.
function(steward_debian component)
  set(gz "${_debian}/changelog.Debian.gz")
  install(FILES "${_here}/copyright" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/${component}"
          COMPONENT ${component})
  install(FILES "${gz}" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/${component}" COMPONENT ${component})
endfunction()

find_program(STW_GZIP gzip)
execute_process(COMMAND "${STW_GZIP}" -9nc "${_debian}/changelog.Debian"
                OUTPUT_FILE "${_debian}/changelog.Debian.gz" RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "packages need gzip")
endif()
foreach(_component stewardd steward libsteward1 libsteward-dev)
  steward_debian(${_component})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL stewardd steward libsteward1 libsteward-dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_SET_DESTDIR ON) # files below /etc
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/packages")
set(CPACK_PACKAGE_NAME steward)
set(CPACK_PACKAGE_CONTACT "${STW_MAINTAINER}")
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_DEBIAN_PACKAGE_RELEASE "${STW_DEB_REVISION}")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${STW_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_SOURCE steward)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

# steward_describe(COMPONENT SUMMARY SENTENCE): what `apt show` says.
macro(steward_describe component summary sentence)
  string(TOUPPER "${component}" _name)
  set(CPACK_DEBIAN_${_name}_PACKAGE_NAME ${component})
  set(CPACK_DEBIAN_${_name}_DESCRIPTION "${summary}
Steward is a manager process that owns named queues and locks; producers
and consumers on any host put, get and lock over ZeroMQ. A dead worker
loses no item and leaves no lock behind.

${sentence}")
endmacro()

steward_describe(stewardd "manager of named queues and locks over ZeroMQ"
                 "This package has the manager and its service.")
set(CPACK_DEBIAN_STEWARDD_PACKAGE_SECTION net)
set(CPACK_DEBIAN_STEWARDD_PACKAGE_DEPENDS
    "init-system-helpers (>= 1.54), passwd, systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_STEWARDD_PACKAGE_SUGGESTS steward)
set(_scripts "${_here}/deb-stewardd")
set(CPACK_DEBIAN_STEWARDD_PACKAGE_CONTROL_EXTRA
    "${_scripts}/postinst;${_scripts}/prerm;${_scripts}/postrm;${_scripts}/conffiles")

steward_describe(steward "queues and locks of a Steward manager, from the shell"
                 "This package has the command line client.")
set(CPACK_DEBIAN_STEWARD_PACKAGE_SECTION net)
set(CPACK_DEBIAN_STEWARD_PACKAGE_SUGGESTS stewardd)

steward_describe(libsteward1 "client library of the Steward manager"
                 "This package has the shared library.")
set(CPACK_DEBIAN_LIBSTEWARD1_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBSTEWARD1_PACKAGE_CONTROL_EXTRA "${_here}/deb-libsteward1/triggers")

steward_describe(libsteward-dev "client library of the Steward manager (development files)"
                 "This package has the headers, the static library and the files of\npkg-config and CMake.")
set(CPACK_DEBIAN_LIBSTEWARD-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBSTEWARD-DEV_PACKAGE_DEPENDS "libsteward1 (= ${STW_DEB_VERSION}), libc6-dev | libc-dev")
set(CPACK_DEBIAN_LIBSTEWARD-DEV_PACKAGE_SUGGESTS "libzmq3-dev, pkgconf | pkg-config")
include(CPack)
