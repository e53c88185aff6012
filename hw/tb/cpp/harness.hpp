// Drives a model with one packed input and one packed output port, whole batches at a time.
//
// Ports: clk_i, rst_i, in_valid_i, in_ready_o, in_data_i, out_valid_o, out_ready_i, out_data_o; both data ports are
// whole 32-bit words wide. Items lie in memory as the ports' bits do, byte 0 in bits 7:0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "verilated.h"

namespace weir {

// xorshift64*: stalls only, nothing of value depends on it.
struct Random {
    uint64_t state;
    bool below(uint32_t permille) {
        if (permille == 0) return false;
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return (state * 0x2545f4914f6cdd1dULL >> 32) % 1000 < permille;
    }
};

// Crosses the language border; `verilated.rs` has the same.
struct Batch {
    const uint8_t* in;
    size_t in_count;
    size_t in_stride;
    uint64_t* in_cycles;  // when each was taken
    uint8_t* out;
    size_t out_expected;  // results to wait for
    size_t out_room;      // at least out_expected; surplus results show as more than expected
    size_t out_stride;
    uint64_t* out_cycles;
    size_t out_count;  // results written
    uint64_t seed;
    uint32_t stall_in;  // thousandths
    uint32_t stall_out;
    uint64_t drain;  // cycles to run on after the last expected result
    uint64_t cycle_limit;
};

template <class Top>
class Harness {
  public:
    Harness() : context_(std::make_unique<VerilatedContext>()), top_(std::make_unique<Top>(context_.get())) {
        top_->rst_i = 1;
        top_->in_valid_i = 0;
        top_->out_ready_i = 0;
        for (int n = 0; n < 4; ++n) tick();
        top_->rst_i = 0;
    }
    ~Harness() { top_->final(); }

    // False if the strides are not those of the ports.
    bool run(Batch& b) {
        if (b.in_stride != sizeof(top_->in_data_i) || b.out_stride != sizeof(top_->out_data_o)) return false;
        Random random{b.seed | 1};
        size_t next_in = 0;
        bool in_valid = false;
        uint64_t quiet = 0;
        b.out_count = 0;
        for (uint64_t cycle = 0; cycle < b.cycle_limit && quiet <= b.drain; ++cycle) {
            if (b.out_count >= b.out_expected && next_in == b.in_count) ++quiet;
            // A valid that was given stays until it is taken; stalls only delay the next one.
            if (!in_valid && next_in < b.in_count && !random.below(b.stall_in)) {
                in_valid = true;
                std::memcpy(&top_->in_data_i, b.in + next_in * b.in_stride, b.in_stride);
            }
            bool out_ready = !random.below(b.stall_out);
            top_->in_valid_i = in_valid;
            top_->out_ready_i = out_ready;
            top_->clk_i = 0;
            top_->eval();
            if (in_valid && top_->in_ready_o) {
                in_valid = false;
                b.in_cycles[next_in++] = cycle_;
            }
            if (top_->out_valid_o && out_ready && b.out_count < b.out_room) {
                std::memcpy(b.out + b.out_count * b.out_stride, &top_->out_data_o, b.out_stride);
                b.out_cycles[b.out_count++] = cycle_;
            }
            top_->clk_i = 1;
            top_->eval();
            ++cycle_;
        }
        top_->in_valid_i = 0;
        return true;
    }

  private:
    void tick() {
        top_->clk_i = 0;
        top_->eval();
        top_->clk_i = 1;
        top_->eval();
        ++cycle_;
    }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Top> top_;
    uint64_t cycle_ = 0;
};

}  // namespace weir

// The three functions of a model.
#define WEIR_HARNESS(name, Top)                                                                                  \
    extern "C" void* weir_##name##_new() { return new weir::Harness<Top>(); }                                    \
    extern "C" void weir_##name##_free(void* h) { delete static_cast<weir::Harness<Top>*>(h); }                  \
    extern "C" bool weir_##name##_run(void* h, weir::Batch* b) { return static_cast<weir::Harness<Top>*>(h)->run(*b); }
