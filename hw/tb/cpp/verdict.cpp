#include "Vverdict.h"
#include "harness.hpp"

WEIR_HARNESS(verdict, Vverdict)
