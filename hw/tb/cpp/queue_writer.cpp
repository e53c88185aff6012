#include "Vqueue_writer.h"
#include "harness.hpp"

WEIR_HARNESS(queue_writer, Vqueue_writer)
