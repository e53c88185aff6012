#include "Vfacts.h"
#include "harness.hpp"

WEIR_HARNESS(facts, Vfacts)
