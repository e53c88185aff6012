// The frame path of the RTL, a clock cycle at a time.
//
// Ports are flat; items lie in memory as the ports' bits do, byte 0 in bits 7:0.
#include "Vcore.h"

#include <cstdint>
#include <cstring>
#include <memory>

#include "verilated.h"

namespace {

struct Core {
    std::unique_ptr<VerilatedContext> context = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vcore> top = std::make_unique<Vcore>(context.get());
    ~Core() { top->final(); }
};

}  // namespace

extern "C" void* weir_core_new() { return new Core(); }

extern "C" void weir_core_free(void* core) { delete static_cast<Core*>(core); }

// False if a length is not that of its port.
extern "C" bool weir_core_settings(void* core, const uint8_t* settings, size_t length) {
    Vcore& top = *static_cast<Core*>(core)->top;
    if (length != sizeof(top.settings_i)) return false;
    std::memcpy(&top.settings_i, settings, length);
    return true;
}

extern "C" bool weir_core_doorbells(void* core, const uint8_t* doorbells, size_t length) {
    Vcore& top = *static_cast<Core*>(core)->top;
    if (length != sizeof(top.host_i)) return false;
    std::memcpy(&top.host_i, doorbells, length);
    return true;
}

// One cycle: what goes in, and what came out before the clock's edge. `load_alone`: of the loader alone, unless it writes.
extern "C" bool weir_core_cycle(void* core, const uint8_t* in, size_t in_length, uint8_t* out, size_t out_length,
                                bool load_alone) {
    Vcore& top = *static_cast<Core*>(core)->top;
    if (in_length != sizeof(top.in_data_i) || out_length != sizeof(top.out_data_o)) return false;
    std::memcpy(&top.in_data_i, in, in_length);
    top.clk_i = 0;
    top.load_clk_i = 0;
    top.eval();
    std::memcpy(out, &top.out_data_o, out_length);
    const bool writes = out[267] >> 6 & 1;
    top.clk_i = !load_alone || writes;
    top.load_clk_i = 1;
    top.eval();
    return true;
}

extern "C" bool weir_core_counters(void* core, uint8_t* counters, size_t length) {
    Vcore& top = *static_cast<Core*>(core)->top;
    if (length != sizeof(top.counters_o)) return false;
    std::memcpy(counters, &top.counters_o, length);
    return true;
}
