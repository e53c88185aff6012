// Windows of a frame's payload, with the tail of its stream in front.
// Function: puts the tail over the header bytes before the payload, folds, and tells which windows count: those that end
// in the payload and begin in it or in the tail. A beat carries the bytes of the next one that its windows reach into.
// Latency: 1 cycle behind the beat after it, 1 behind the last beat of a frame. Throughput: one beat per cycle.
// Back-pressure: none.
`default_nettype none

module weir_match_windows
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
#(
    parameter int unsigned BYTES = 64  // bytes of a beat
) (
    input  wire logic                              clk_i,
    input  wire logic                              rst_i,
    input  wire logic                              valid_i,
    input  wire logic                              last_i,
    input  wire logic          [BYTES-1:0][7:0]    data_i,
    input  wire scan_context_t                     context_i,
    output logic                                   valid_o,
    output logic                                   last_o,
    output logic                                   bank_o,
    output logic signed        [20:0]              position_o,  // of the first byte, from the payload's start
    output logic          [BYTES+REACH-1:0][7:0]   folded_o,
    output logic          [BYTES+REACH-1:0]        upper_o,
    output logic          [BYTES+REACH-1:0]        known_o,
    output logic          [LENGTHS-1:0][BYTES-1:0] usable_o
);

  logic held_q, held_last_q, next_first_q, go;
  logic [BYTES-1:0][7:0] data_q, data;
  place_t base_q, base;
  scan_context_t context_q;
  logic signed [20:0] begin_q;  // position of the held beat
  logic [BYTES+REACH-1:0][7:0] both;

  // The tail over what stands before the payload.
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
    go   = held_q && (held_last_q || valid_i);
    both = {held_last_q ? '0 : data[REACH-1:0], data_q};
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      data_q <= data;
      held_last_q <= last_i;
      context_q <= context_i;
      base_q <= base;
      begin_q <= $signed({1'b0, base}) - $signed({1'b0, context_i.start});
    end
    last_o <= held_last_q;
    bank_o <= context_q.bank;
    position_o <= begin_q;
    for (int unsigned b = 0; b < BYTES + REACH; b++) begin
      folded_o[b] <= fold(both[b]);
      upper_o[b]  <= is_upper(both[b]);
      known_o[b]  <= base_q + place_t'(b) >= context_q.start && base_q + place_t'(b) < context_q.last;
    end
    for (int unsigned n = 0; n < LENGTHS; n++) begin
      for (int unsigned b = 0; b < BYTES; b++) begin
        usable_o[n][b] <= base_q + place_t'(b) + place_t'(context_q.tail_count) >= context_q.start &&
                          base_q + place_t'(b + n + SHORTEST) > context_q.start &&
                          base_q + place_t'(b + n + SHORTEST) <= context_q.last;
      end
    end
    if (rst_i) begin
      held_q <= 1'b0;
      next_first_q <= 1'b1;
      valid_o <= 1'b0;
    end else begin
      if (valid_i) next_first_q <= last_i;
      held_q  <= valid_i || (held_q && !go);
      valid_o <= go;
    end
  end

endmodule

`default_nettype wire
