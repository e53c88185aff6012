// Runs the generated layout testbench; $fatal ends the process, so reaching $finish is success.
#include <memory>

#include "Vlayout.h"
#include "verilated.h"

extern "C" int weir_layout_run() {
    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vlayout>(context.get());
    top->eval();
    bool finished = context->gotFinish();
    top->final();
    return finished ? 0 : 1;
}
