#include "Vfacts_narrow.h"
#include "harness.hpp"

WEIR_HARNESS(facts_narrow, Vfacts_narrow)
