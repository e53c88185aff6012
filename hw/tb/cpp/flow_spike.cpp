// Drives weir_flow_spike with whole batches: one call runs until every beat has its result.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "Vflow_spike.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

namespace {

struct Beat {
    uint8_t op;
    uint8_t flow;
    uint8_t direction;
    uint8_t flags;
    uint8_t hit;
    uint8_t reserved;
    uint16_t payload;
    uint32_t number;
    uint32_t acknowledgement;
    uint32_t generation;
    uint32_t reserved2;
    uint64_t bound;
};
static_assert(sizeof(Beat) == 32);

struct Result {
    uint8_t op;
    uint8_t kind;
    uint8_t divert;
    uint8_t sticky;
    uint8_t stale;
    uint8_t reserved[3];
    uint32_t generation;
    uint32_t next;
    uint64_t frame;
    uint64_t position;
    uint64_t chain_head;
    uint32_t chain_count;
    uint32_t reserved2;
};
static_assert(sizeof(Result) == 48);

// xorshift64*: stalls only, nothing of value depends on it.
struct Random {
    uint64_t state;
    bool below(uint32_t permille) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return (state * 0x2545f4914f6cdd1dULL >> 32) % 1000 < permille;
    }
};

}  // namespace

// Returns the number of results written; `cycles` the clock cycles used. Stalls are independent per interface.
extern "C" size_t weir_flow_spike_run(const Beat* beats, size_t count, Result* results, uint64_t seed, uint32_t stall_in,
                                      uint32_t stall_match, uint32_t stall_out, uint64_t cycle_limit, uint64_t* cycles) {
    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vflow_spike>(context.get());
    Random random{seed | 1};
    size_t next_in = 0, next_match = 0, next_out = 0;
    bool in_valid = false, match_valid = false;
    top->rst_i = 1;
    for (uint64_t cycle = 0; cycle < cycle_limit && next_out < count; ++cycle) {
        *cycles = cycle;
        if (cycle == 4) top->rst_i = 0;
        // A valid that was given stays until it is taken; stalls only delay the next one.
        if (!in_valid) in_valid = cycle > 4 && next_in < count && !random.below(stall_in);
        while (next_match < count && beats[next_match].op != 0) ++next_match;
        if (!match_valid) match_valid = cycle > 4 && next_match < count && !random.below(stall_match);
        bool out_ready = !random.below(stall_out);
        top->in_valid_i = in_valid;
        if (in_valid) {
            const Beat& b = beats[next_in];
            top->in_op_i = b.op;
            top->in_flow_i = b.flow;
            top->in_direction_i = b.direction;
            top->in_number_i = b.number;
            top->in_acknowledgement_i = b.acknowledgement;
            top->in_flags_i = b.flags;
            top->in_payload_i = b.payload;
            top->in_generation_i = b.generation;
            top->in_bound_i = b.bound;
        }
        top->match_valid_i = match_valid;
        top->match_hit_i = match_valid && beats[next_match].hit;
        top->out_ready_i = out_ready;
        top->clk_i = 0;
        top->eval();
        if (!top->rst_i) {
            if (in_valid && top->in_ready_o) {
                in_valid = false;
                ++next_in;
            }
            if (match_valid && top->match_ready_o) {
                match_valid = false;
                ++next_match;
            }
            if (top->out_valid_o && out_ready) {
                Result& r = results[next_out++];
                r = Result{};
                r.op = top->out_op_o;
                r.kind = top->out_class_o;
                r.divert = top->out_divert_o;
                r.sticky = top->out_sticky_o;
                r.stale = top->out_stale_o;
                r.generation = top->out_generation_o;
                r.next = top->out_next_o;
                r.frame = top->out_frame_o;
                r.position = top->out_position_o;
                r.chain_head = top->out_chain_head_o;
                r.chain_count = top->out_chain_count_o;
            }
        }
        // Inputs were sampled as set; the edge comes last.
        top->clk_i = 1;
        top->eval();
    }
    top->final();
    return next_out;
}
