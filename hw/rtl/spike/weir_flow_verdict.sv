// Second access to the flow entry: sticky bit, last trouble, chain, release compare-and-set.
//
// Function: read-modify-write per beat, in order, hundreds of cycles behind the first access. Latency: 2 cycles.
// Throughput: one beat per cycle, also of one flow. Back-pressure: none (the user holds credits). Forwarding as in
// weir_flow_parse.
`default_nettype none

module weir_flow_verdict #(
    parameter int unsigned FLOW_BITS = 4  // log2 of the number of entries
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    output logic                      ready_o,         // entries are cleared
    input  wire logic                 valid_i,
    input  wire logic [          1:0] op_i,            // 0 frame, 1 release, 2 divert, 3 forget
    input  wire logic [FLOW_BITS-1:0] flow_i,
    input  wire logic                 trouble_i,       // frame: a record holds; command: generation is stale
    input  wire logic [         63:0] frame_i,         // frame: its number; command: number of the last frame
    input  wire logic [         63:0] bound_i,         // release: k
    input  wire logic [         31:0] length_i,        // frame: bytes of its history record
    output logic                      valid_o,
    output logic                      divert_o,        // frame: to the host; command: it took effect
    output logic                      sticky_o,        // before the beat
    output logic      [         63:0] position_o,      // frame: history position
    output logic      [         63:0] chain_head_o,    // newest record not yet given, before the beat
    output logic      [         31:0] chain_count_o
);

  typedef struct packed {
    logic        sticky;
    logic [63:0] last_trouble;
    logic [63:0] chain_head;
    logic [31:0] chain_count;
  } entry_t;

  localparam entry_t CLEAR = '{sticky: 1'b0, last_trouble: '0, chain_head: '1, chain_count: '0};

  logic [FLOW_BITS:0] clear_q;
  assign ready_o = clear_q[FLOW_BITS];

  logic read_valid_q, read_trouble_q, result_valid_q, written_valid_q;
  logic [1:0] read_op_q;
  logic [FLOW_BITS-1:0] read_flow_q, result_flow_q, written_flow_q;
  logic [63:0] read_frame_q, read_bound_q, position_q;
  logic [31:0] read_length_q;
  entry_t ram_data, old, new_d, result_q, written_q;
  logic divert, give;

  weir_ram_1r1w #(
      .ADDRESS_BITS(FLOW_BITS),
      .DATA_BITS   ($bits(entry_t))
  ) entries (
      .clk_i          (clk_i),
      .write_i        (!ready_o || result_valid_q),
      .write_address_i(ready_o ? result_flow_q : clear_q[FLOW_BITS-1:0]),
      .write_data_i   (ready_o ? result_q : CLEAR),
      .read_address_i (flow_i),
      .read_data_o    (ram_data)
  );

  always_comb begin
    old = ram_data;
    if (written_valid_q && written_flow_q == read_flow_q) old = written_q;
    if (result_valid_q && result_flow_q == read_flow_q) old = result_q;
    new_d = old;
    divert = 1'b0;
    give = 1'b0;
    unique case (read_op_q)
      2'd0: begin  // frame
        divert = read_trouble_q || old.sticky;
        give = divert;
        new_d.sticky = divert;
        if (read_trouble_q) new_d.last_trouble = read_frame_q;
        if (!divert) begin
          new_d.chain_head = position_q;
          new_d.chain_count = old.chain_count + 32'd1;
        end
      end
      2'd1: begin  // release: compare and set
        divert = !read_trouble_q && old.sticky && old.last_trouble <= read_bound_q;
        if (divert) new_d.sticky = 1'b0;
      end
      2'd2: begin  // divert on request
        divert = !read_trouble_q;
        give = divert;
        if (divert) begin
          new_d.sticky = 1'b1;
          new_d.last_trouble = read_frame_q;
        end
      end
      default: begin  // forget
        divert = !read_trouble_q;
        if (divert) new_d = CLEAR;
      end
    endcase
    if (give) begin
      new_d.chain_head = '1;
      new_d.chain_count = '0;
    end
  end

  always_ff @(posedge clk_i) begin
    read_op_q <= op_i;
    read_flow_q <= flow_i;
    read_trouble_q <= trouble_i;
    read_frame_q <= frame_i;
    read_bound_q <= bound_i;
    read_length_q <= length_i;
    result_q <= new_d;
    result_flow_q <= read_flow_q;
    written_q <= result_q;
    written_flow_q <= result_flow_q;
    divert_o <= divert;
    sticky_o <= old.sticky;
    position_o <= position_q;
    chain_head_o <= old.chain_head;
    chain_count_o <= old.chain_count;
    if (rst_i) begin
      clear_q <= '0;
      read_valid_q <= 1'b0;
      result_valid_q <= 1'b0;
      written_valid_q <= 1'b0;
      position_q <= '0;
    end else begin
      if (!ready_o) clear_q <= clear_q + (FLOW_BITS + 1)'(1);
      read_valid_q <= valid_i;
      result_valid_q <= read_valid_q;
      written_valid_q <= result_valid_q;
      if (read_valid_q && read_op_q == 2'd0) position_q <= position_q + 64'(read_length_q);
    end
  end

  assign valid_o = result_valid_q;

endmodule

`default_nettype wire
