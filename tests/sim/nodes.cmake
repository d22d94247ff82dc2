# Simulation B's short run. sim_cluster itself is found by the glob of sim_*.c.
if(NOT TARGET sim_cluster)
  return()
endif()

simulation_test(sim_cluster 300 sim_cluster)
