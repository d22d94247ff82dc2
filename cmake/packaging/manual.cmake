# Manual pages, completion and the configuration file: made while building, from the tables in the programs themselves.

find_program(STW_PYTHON python3)
set(STW_MANUAL_DIR "${CMAKE_BINARY_DIR}/manual")
set(STW_MANUAL OFF)
if(NOT TARGET stewardd OR NOT TARGET steward OR NOT STW_PYTHON)
  message(STATUS "skipping manual pages: they need stewardd, steward and python3")
  return()
elseif(STW_SANITIZE OR STW_COVERAGE OR STW_FUZZ)
  return() # instrumented programs are not run while building
endif()
set(STW_MANUAL ON)

add_executable(describe_options "${CMAKE_CURRENT_LIST_DIR}/describe_options.c")
target_include_directories(describe_options PRIVATE "${CMAKE_SOURCE_DIR}")
target_link_libraries(describe_options PRIVATE shell PkgConfig::JANSSON)

file(GLOB _sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.py" "${CMAKE_SOURCE_DIR}/docs/man/*.in")
add_custom_command(
  OUTPUT "${STW_MANUAL_DIR}/stamp"
  COMMAND "${CMAKE_COMMAND}" -E rm -rf "${STW_MANUAL_DIR}"
  COMMAND "${STW_PYTHON}" -B "${CMAKE_CURRENT_LIST_DIR}/generate.py"
          --stewardd $<TARGET_FILE:stewardd> --describe $<TARGET_FILE:describe_options>
          --steward $<TARGET_FILE:steward> --source "${CMAKE_SOURCE_DIR}"
          --version "${PROJECT_VERSION}" --out "${STW_MANUAL_DIR}" --set data=/var/lib/steward
  COMMAND "${CMAKE_COMMAND}" -E touch "${STW_MANUAL_DIR}/stamp"
  DEPENDS stewardd steward describe_options ${_sources} "${CMAKE_SOURCE_DIR}/client/include/steward.h"
          "${CMAKE_SOURCE_DIR}/common/base/steward_errors.h"
  COMMENT "Writing manual pages, completion and steward.conf" VERBATIM)
add_custom_target(manual ALL DEPENDS "${STW_MANUAL_DIR}/stamp")
