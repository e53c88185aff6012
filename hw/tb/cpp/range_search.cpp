#include "Vrange_search.h"
#include "harness.hpp"

WEIR_HARNESS(range_search, Vrange_search)
