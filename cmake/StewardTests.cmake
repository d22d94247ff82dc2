# The tests. A new tests/unit/test_*.c, tests/sim/sim_*.c or tests/fuzz/fuzz_*.c is picked up by itself.
# tests/{sim,fuzz,integration,bench}/CMakeLists.txt register their own ctest entries and labels.

set(STW_TEST_DIR "${CMAKE_BINARY_DIR}/tests")

# steward_link_all(TARGET): link everything a test may look into; the linker drops what it does not use.
function(steward_link_all target)
  target_include_directories(${target} PRIVATE
    "${CMAKE_SOURCE_DIR}" "${CMAKE_SOURCE_DIR}/common/base" "${CMAKE_SOURCE_DIR}/client/include")
  target_include_directories(${target} SYSTEM PRIVATE "${UTHASH_INCLUDE}" "${XXHASH_INCLUDE}")
  foreach(library client shell gateway journal core wire base)
    if(TARGET ${library})
      target_link_libraries(${target} PRIVATE ${library})
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE PkgConfig::ZMQ PkgConfig::CZMQ PkgConfig::MSGPACK Threads::Threads m rt)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${STW_TEST_DIR}")
endfunction()

# _steward_each(DIR PREFIX [LIBRARY...]): one executable per DIR/PREFIX*.c; the other files of DIR go into each.
# Sets STW_<PREFIX>TARGETS in the caller.
function(_steward_each dir prefix)
  file(GLOB mains CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${dir}/${prefix}*.c")
  steward_glob(common ${dir} EXCLUDE replay_main.c)
  if(mains)
    list(REMOVE_ITEM common ${mains})
  endif()
  set(targets "")
  if(mains AND common)
    add_library(${prefix}common OBJECT ${common})
    steward_link_all(${prefix}common)
    target_link_libraries(${prefix}common PRIVATE ${ARGN})
  endif()
  foreach(main IN LISTS mains)
    get_filename_component(name "${main}" NAME_WE)
    add_executable(${name} "${main}")
    if(common)
      target_sources(${name} PRIVATE $<TARGET_OBJECTS:${prefix}common>)
    endif()
    target_link_libraries(${name} PRIVATE ${ARGN})
    steward_link_all(${name})
    list(APPEND targets ${name})
  endforeach()
  set(STW_${prefix}TARGETS "${targets}" PARENT_SCOPE)
endfunction()

# ---- unit ---------------------------------------------------------------------------------------------------------
if(TARGET PkgConfig::CHECK AND TARGET base)
  _steward_each(tests/unit test_ PkgConfig::CHECK)
  foreach(test IN LISTS STW_test_TARGETS)
    add_test(NAME ${test} COMMAND ${test})
    set_tests_properties(${test} PROPERTIES TIMEOUT 120 LABELS unit)
  endforeach()
endif()

# ---- sim ----------------------------------------------------------------------------------------------------------
if(TARGET base)
  _steward_each(tests/sim sim_)
endif()

foreach(dir sim fuzz integration bench)
  if(EXISTS "${CMAKE_SOURCE_DIR}/tests/${dir}/CMakeLists.txt")
    add_subdirectory("${CMAKE_SOURCE_DIR}/tests/${dir}" "${CMAKE_BINARY_DIR}/cmake-tests/${dir}")
  endif()
endforeach()
