// Text facts of a frame's payload, behind its stream's tail and without it; and loaded words and numbers.
//
// Function: for each frame the facts of three neighbouring bytes, of words and of header lines (weir_facts_pkg), once with the tail
// in front and once as if nothing stood there; which of them count is decided by who knows whether the segment continues
// its stream. Latency: 4 cycles from the last beat of a frame. Throughput: one beat per cycle. Back-pressure: none.
//
// A header line is followed by an automaton of five states. A beat's bytes are joined as maps of states, two by two, so that
// only the last step depends on the beat before.
`default_nettype none

module weir_facts
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
#(
    parameter int unsigned BYTES = 64  // bytes of a beat
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire escape_sets_t [1:0]    sets_i,        // by bank
    input  wire logic                  valid_i,
    input  wire logic                  last_i,
    input  wire logic [BYTES-1:0][7:0] data_i,
    input  wire scan_context_t         context_i,
    output logic                       valid_o,
    output logic [63:0]                behind_tail_o,
    output logic [63:0]                alone_o
);

  localparam int unsigned HALVES = 8;  // runs that are joined in the second step

  // ---- the tail over what stands before the payload; which bytes are there
  logic next_first_q, valid_a_q, last_a_q, bank_a_q, first_a_q;
  place_t base_q, base;
  logic [BYTES-1:0][7:0] data, data_a_q;
  logic [BYTES-1:0] payload_a_q, tail_a_q, rest_a_q;
  place_t length_a_q;             // of the payload
  always_comb begin
    base = next_first_q ? '0 : base_q + place_t'(BYTES);
    data = data_i;
    for (int unsigned b = 0; b < BYTES; b++) begin
      for (int unsigned t = 0; t < REACH; t++) begin
        if (3'(t) < context_i.tail_count &&
            base + place_t'(b) + place_t'(context_i.tail_count) == context_i.start + place_t'(t)) begin
          data[b] = context_i.tail[t];
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) base_q <= base;
    data_a_q <= data;
    last_a_q <= last_i;
    first_a_q <= next_first_q;
    bank_a_q <= context_i.bank;
    length_a_q <= context_i.last - context_i.start;
    for (int unsigned b = 0; b < BYTES; b++) begin
      payload_a_q[b] <= base + place_t'(b) >= context_i.start && base + place_t'(b) < context_i.last;
      tail_a_q[b] <= base + place_t'(b) < context_i.start &&
                     base + place_t'(b) + place_t'(context_i.tail_count) >= context_i.start;
      rest_a_q[b] <= base + place_t'(b) >= context_i.last;
    end
    if (rst_i) begin
      next_first_q <= 1'b1;
      valid_a_q <= 1'b0;
    end else begin
      if (valid_i) next_first_q <= last_i;
      valid_a_q <= valid_i;
    end
  end

  // ---- three and four neighbours, and the maps of short runs
  logic [2:0][7:0] before_q;      // the three bytes before the beat, [2] the nearest
  logic [2:0] before_payload_q, before_tail_q;
  logic [1:0][63:0] facts, facts_b_q;                    // [0] alone, [1] behind the tail
  line_map_t [1:0][HALVES-1:0] runs, runs_b_q;
  logic valid_b_q, last_b_q;

  always_comb begin
    logic [BYTES+2:0][7:0] bytes;
    logic [BYTES+2:0] of_payload, of_tail;
    maybe_t [1:0] near;
    maybe_t [3:0] word;
    line_map_t step;
    bytes = {data_a_q, before_q};
    of_payload = {payload_a_q, first_a_q ? 3'b000 : before_payload_q};
    of_tail = {tail_a_q, first_a_q ? 3'b000 : before_tail_q};
    facts = '0;
    for (int unsigned v = 0; v < 2; v++) begin
      for (int unsigned b = 0; b < BYTES; b++) begin
        for (int unsigned n = 0; n < 2; n++) begin
          near[n].value = bytes[b+n+1];
          near[n].known = of_payload[b+n+1] || (v == 1 && of_tail[b+n+1]);
        end
        for (int unsigned n = 0; n < 4; n++) begin
          word[n].value = fold(bytes[b+n]);
          word[n].known = of_payload[b+n] || (v == 1 && of_tail[b+n]);
        end
        if (payload_a_q[b]) begin
          facts[v] = facts[v] | three(sets_i[bank_a_q], near[0], near[1], bytes[b+3]);
          if (word_ends(sets_i[bank_a_q].words, word) ||
              (of_payload[b+:4] == '1 &&
               number_tells(sets_i[bank_a_q].words, bytes[b+:4], length_a_q))) begin
            facts[v][GUARD_WORD] = 1'b1;
          end
        end
      end
      for (int unsigned h = 0; h < HALVES; h++) begin
        runs[v][h] = LINE_KEEP;
        for (int unsigned n = 0; n < BYTES / HALVES; n++) begin
          step = line_step(data_a_q[h*(BYTES/HALVES)+n]);
          if (!payload_a_q[h*(BYTES/HALVES)+n]) step.odd = '0;
          if (rest_a_q[h*(BYTES/HALVES)+n]) begin
            step = LINE_KEEP;
          end else if (!payload_a_q[h*(BYTES/HALVES)+n] &&
                       !(v == 1 && tail_a_q[h*(BYTES/HALVES)+n])) begin
            step = LINE_BEGIN;
          end
          runs[v][h] = line_join(runs[v][h], step);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_a_q) begin
      before_q <= data_a_q[BYTES-1:BYTES-3];
      before_payload_q <= payload_a_q[BYTES-1:BYTES-3];
      before_tail_q <= tail_a_q[BYTES-1:BYTES-3];
    end
    facts_b_q <= facts;
    runs_b_q <= runs;
    last_b_q <= last_a_q;
    if (rst_i) valid_b_q <= 1'b0;
    else valid_b_q <= valid_a_q;
  end

  // ---- the map of the beat
  line_map_t [1:0] whole, whole_c_q;
  logic [1:0][63:0] facts_c_q;
  logic valid_c_q, last_c_q;
  always_comb begin
    for (int unsigned v = 0; v < 2; v++) begin
      whole[v] = runs_b_q[v][0];
      for (int unsigned h = 1; h < HALVES; h++) whole[v] = line_join(whole[v], runs_b_q[v][h]);
    end
  end

  always_ff @(posedge clk_i) begin
    whole_c_q <= whole;
    facts_c_q <= facts_b_q;
    last_c_q  <= last_b_q;
    if (rst_i) valid_c_q <= 1'b0;
    else valid_c_q <= valid_b_q;
  end

  // ---- the frame
  logic [1:0][63:0] sum_q, sum;
  logic [1:0][2:0] line_q;
  always_comb begin
    for (int unsigned v = 0; v < 2; v++) begin
      sum[v] = sum_q[v] | facts_c_q[v];
      if (whole_c_q[v].odd[line_q[v]]) sum[v][GUARD_HEADER_SPACE_ODD] = 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_c_q) begin
      for (int unsigned v = 0; v < 2; v++) begin
        sum_q[v]  <= last_c_q ? '0 : sum[v];
        line_q[v] <= last_c_q ? '0 : whole_c_q[v].next[line_q[v]];
      end
    end
    alone_o <= sum[0];
    behind_tail_o <= sum[1];
    if (rst_i) begin
      sum_q <= '0;
      line_q <= '0;
      valid_o <= 1'b0;
    end else begin
      valid_o <= valid_c_q && last_c_q;
    end
  end

  if (BYTES != 16 && BYTES != 32 && BYTES != 64) begin : g_check
    $error("BYTES must be 16, 32 or 64");
  end

endmodule

`default_nettype wire
