#include "Vliteral_narrow.h"
#include "harness.hpp"

WEIR_HARNESS(literal_narrow, Vliteral_narrow)
