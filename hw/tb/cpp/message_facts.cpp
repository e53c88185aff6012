#include "Vmessage_facts.h"
#include "harness.hpp"

WEIR_HARNESS(message_facts, Vmessage_facts)
