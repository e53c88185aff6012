#include "Vliteral.h"
#include "harness.hpp"

WEIR_HARNESS(literal, Vliteral)
