# Simulation B's own targets: everything with deliberate bugs and guards that can be switched off (the headers canary.h,
# broker/journal/consensus_guard.h), and the short runs of ctest. sim_cluster itself is found by the glob of sim_*.c.
if(NOT TARGET sim_cluster OR NOT TARGET gateway_canary)
  return()
endif()

set(lib "${CMAKE_SOURCE_DIR}/client/lib")
file(GLOB simulation_b CONFIGURE_DEPENDS net_*.c nodes_*.c sim_cluster.c "${lib}/conn*.c"
     "${CMAKE_SOURCE_DIR}/broker/journal/*.c")
list(APPEND simulation_b "${lib}/blocks.c" "${lib}/delivery.c" "${lib}/names.c" "${lib}/requests.c" "${lib}/seen.c")

add_executable(sim_cluster_canary ${simulation_b})
target_link_libraries(sim_cluster_canary PRIVATE gateway_canary core_canary wire PkgConfig::CZMQ PkgConfig::RAFT
                                                 Threads::Threads)
set_target_properties(sim_cluster_canary PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${STW_TEST_DIR}")

simulation_test(sim_cluster 300 sim_cluster)
simulation_test(sim_cluster_canaries 400 sim_cluster_canary --canaries)
