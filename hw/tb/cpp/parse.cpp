#include "Vparse.h"
#include "harness.hpp"

WEIR_HARNESS(parse, Vparse)
