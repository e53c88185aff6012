// The table loader, a clock cycle at a time.
//
// Ports are flat; items lie in memory as the ports' bits do, byte 0 in bits 7:0.
#include "Vloader.h"

#include <cstdint>
#include <cstring>
#include <memory>

#include "verilated.h"

namespace {

struct Loader {
    std::unique_ptr<VerilatedContext> context = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vloader> top = std::make_unique<Vloader>(context.get());
    ~Loader() { top->final(); }
};

}  // namespace

extern "C" void* weir_loader_new() { return new Loader(); }

extern "C" void weir_loader_free(void* loader) { delete static_cast<Loader*>(loader); }

// One cycle: what goes in, and what came out before the clock's edge. False if a length is not that of its port.
extern "C" bool weir_loader_cycle(void* loader, const uint8_t* in, size_t in_length, uint8_t* out, size_t out_length) {
    Vloader& top = *static_cast<Loader*>(loader)->top;
    if (in_length != sizeof(top.in_data_i) || out_length != sizeof(top.out_data_o)) return false;
    std::memcpy(&top.in_data_i, in, in_length);
    top.clk_i = 0;
    top.eval();
    std::memcpy(out, &top.out_data_o, out_length);
    top.clk_i = 1;
    top.eval();
    return true;
}
