# The tests. A new tests/unit/test_*.c, tests/sim/sim_*.c or tests/fuzz/fuzz_*.c is picked up by itself.
# tests/{sim,fuzz,integration,bench,chaos}/CMakeLists.txt register their own ctest entries and labels.

set(STW_TEST_DIR "${CMAKE_BINARY_DIR}/tests")

# steward_link_all(TARGET): link everything a test may look into; the linker drops what it does not use.
function(steward_link_all target)
  target_include_directories(${target} PRIVATE
    "${CMAKE_SOURCE_DIR}" "${STW_GENERATED}" "${CMAKE_SOURCE_DIR}/client/include")
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

# steward_test_labels(RESULT FILE): what a unit test is labelled: those that touch threads are run under tsan, too.
function(steward_test_labels result file)
  set(labels unit)
  file(STRINGS "${file}" threaded REGEX "#include *(<steward\\.h>|<pthread\\.h>|\"client/|\"broker/shell/|\"broker/journal/log\\.h\")")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  if(threaded)
    list(APPEND labels tsan)
  endif()
  set(${result} "${labels}" PARENT_SCOPE)
endfunction()

# steward_test_environment(TEST...): how sanitizers behave in these tests.
function(steward_test_environment)
  set_property(TEST ${ARGN} APPEND PROPERTY ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
    "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp:second_deadlock_stack=1")
endfunction()

# ---- unit ---------------------------------------------------------------------------------------------------------
if(TARGET PkgConfig::CHECK AND TARGET base)
  _steward_each(tests/unit test_ PkgConfig::CHECK)
  foreach(test IN LISTS STW_test_TARGETS)
    steward_test_labels(labels "${CMAKE_SOURCE_DIR}/tests/unit/${test}.c")
    if(STW_SANITIZE STREQUAL "thread" AND NOT "tsan" IN_LIST labels)
      set_target_properties(${test} PROPERTIES EXCLUDE_FROM_ALL ON)
      continue()
    endif()
    add_test(NAME ${test} COMMAND ${STW_TEST_WRAPPER} $<TARGET_FILE:${test}>)
    set_tests_properties(${test} PROPERTIES TIMEOUT 120 LABELS "${labels}")
    steward_test_environment(${test})
  endforeach()
endif()

# ---- sim ----------------------------------------------------------------------------------------------------------
if(TARGET base AND NOT STW_SANITIZE STREQUAL "thread")
  _steward_each(tests/sim sim_)
endif()

# ---- fuzz ---------------------------------------------------------------------------------------------------------
# With STW_FUZZ each tests/fuzz/fuzz_NAME.c is a libFuzzer program; else it replays tests/fuzz/corpus/NAME.
if(TARGET base AND NOT STW_SANITIZE STREQUAL "thread")
  _steward_each(tests/fuzz fuzz_)
  foreach(fuzzer IN LISTS STW_fuzz_TARGETS)
    if(STW_FUZZ)
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(${fuzzer} PRIVATE "${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.c")
      if(NOT EXISTS "${CMAKE_SOURCE_DIR}/tests/fuzz/CMakeLists.txt")
        string(REGEX REPLACE "^fuzz_" "" corpus ${fuzzer})
        add_test(NAME ${fuzzer} COMMAND ${fuzzer} "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${corpus}")
        set_tests_properties(${fuzzer} PROPERTIES TIMEOUT 120 LABELS fuzz)
        steward_test_environment(${fuzzer})
      endif()
    endif()
  endforeach()
endif()

foreach(dir sim fuzz integration bench chaos)
  if(EXISTS "${CMAKE_SOURCE_DIR}/tests/${dir}/CMakeLists.txt")
    add_subdirectory("${CMAKE_SOURCE_DIR}/tests/${dir}" "${CMAKE_BINARY_DIR}/cmake-tests/${dir}")
  endif()
endforeach()

# ---- tidy: the house's own rules ----------------------------------------------------------------------------------
find_program(STW_PYTHON python3)
set(tidy "${CMAKE_SOURCE_DIR}/tests/tidy")
if(STW_PYTHON)
  add_test(NAME tidy COMMAND "${STW_PYTHON}" -B "${tidy}/tidy.py" --root "${CMAKE_SOURCE_DIR}")
  add_test(NAME tidy_self COMMAND "${STW_PYTHON}" -B "${tidy}/tidy.py" --self-test)
  set_tests_properties(tidy tidy_self PROPERTIES TIMEOUT 60 LABELS tidy)
endif()

# steward_purity(LIBRARY [DEPENDENCY...]): LIBRARY uses what tests/tidy/LIBRARY_symbols.allow lists, and no more.
function(steward_purity library)
  _steward_missing(missing ${library} ${ARGN})
  if(missing)
    return()
  endif()
  set(files $<TARGET_FILE:${library}>)
  foreach(dependency IN LISTS ARGN)
    list(APPEND files $<TARGET_FILE:${dependency}>)
  endforeach()
  add_test(NAME purity_${library}
           COMMAND sh "${tidy}/purity.sh" "${CMAKE_NM}" "${tidy}/${library}_symbols.allow" ${files})
  set_tests_properties(purity_${library} PROPERTIES TIMEOUT 60 LABELS tidy)
endfunction()

steward_purity(core base)
steward_purity(gateway core wire base)
if(TARGET base)
  # The check must be able to fail: libbase.a prints when it panics, which the core's list does not allow.
  add_test(NAME purity_self
           COMMAND sh "${tidy}/purity.sh" "${CMAKE_NM}" "${tidy}/core_symbols.allow" $<TARGET_FILE:base>)
  set_tests_properties(purity_self PROPERTIES TIMEOUT 60 LABELS tidy WILL_FAIL ON)
endif()
if(STW_PYTHON AND TARGET steward_shared)
  file(GLOB headers CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/client/include/*.h")
  add_test(NAME exports
           COMMAND "${STW_PYTHON}" -B "${tidy}/exports.py" "${CMAKE_NM}" $<TARGET_FILE:steward_shared> ${headers})
  set_tests_properties(exports PROPERTIES TIMEOUT 60 LABELS tidy)
endif()
