# Simulation A2's own targets: gateway and client connection with deliberate bugs (common/wire/canary.h) on the core
# with its own, and the short runs of ctest. sim_network itself is found by the glob of sim_*.c.
if(NOT TARGET core_canary OR NOT TARGET gateway OR NOT TARGET client OR NOT TARGET sim_network)
  return()
endif()

set(lib "${CMAKE_SOURCE_DIR}/client/lib")
set(journal "${CMAKE_SOURCE_DIR}/broker/journal")
file(GLOB simulation_a2 CONFIGURE_DEPENDS net_*.c sim_network.c "${lib}/conn*.c")
list(APPEND simulation_a2 "${lib}/blocks.c" "${lib}/delivery.c" "${lib}/names.c" "${lib}/requests.c" "${lib}/seen.c"
     "${journal}/journal.c" "${journal}/memory.c")

steward_library(gateway_canary DIR broker/gateway LINK core_canary wire HEADERS UTHASH)
add_executable(sim_network_canary ${simulation_a2})
target_link_libraries(sim_network_canary PRIVATE gateway_canary core_canary wire)
set_target_properties(sim_network_canary PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${STW_TEST_DIR}")

simulation_test(sim_network 500 sim_network)
simulation_test(sim_network_canaries 400 sim_network_canary --canaries)
