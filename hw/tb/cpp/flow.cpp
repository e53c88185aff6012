#include "Vflow.h"
#include "harness.hpp"

WEIR_HARNESS(flow, Vflow)
