#include "Vrange_search4.h"
#include "harness.hpp"

WEIR_HARNESS(range_search4, Vrange_search4)
