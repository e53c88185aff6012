#include "Vparse_narrow.h"
#include "harness.hpp"

WEIR_HARNESS(parse_narrow, Vparse_narrow)
