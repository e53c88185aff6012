#include "Vjudge.h"
#include "harness.hpp"

WEIR_HARNESS(judge, Vjudge)
