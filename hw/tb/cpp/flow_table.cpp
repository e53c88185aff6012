#include "Vflow_table.h"
#include "harness.hpp"

WEIR_HARNESS(flow_table, Vflow_table)
