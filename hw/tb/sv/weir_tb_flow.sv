// The first access behind two packed ports with credits, for the test harness (cpp/harness.hpp).
`default_nettype none

module weir_tb_flow
  import weir_parse_pkg::*;
  import weir_flow_pkg::*;
(
    input  wire logic               clk_i,
    input  wire logic               rst_i,
    input  wire logic               in_valid_i,
    output logic                    in_ready_o,
    input  wire logic [256*8-1:0]   in_data_i,
    output logic                    out_valid_o,
    input  wire logic               out_ready_i,
    output logic      [384*8-1:0]   out_data_o
);

  typedef struct packed {
    logic [38*8-1:0]       reserved;
    logic [128*8-1:0]      parsed;
    logic [63:0]           now;
    logic [63:0]           number;
    logic [7:0][63:0]      timeouts;
    logic [31:0]           window;
    logic [7:0]            midstream;
    logic [7:0]            from_lower;
    logic [7:0]            created;
    logic [7:0]            slot;
    logic [7:0]            divert;
    logic [7:0]            pad;
  } in_t;

  typedef struct packed {
    flow_state_t state;
    staged_t     staged;
  } out_t;

  in_t item;
  follow_config_t config_q;
  arrival_t arrival;
  logic valid, pop;
  out_t found, result;
  logic [5:0] credit_q;

  assign item = in_data_i;
  assign in_ready_o = credit_q != 6'd32;
  assign arrival = '{
      created: item.created[0],
      reported: 1'b0,
      from_lower: item.from_lower[0],
      number: item.number,
      now: item.now,
      parsed: item.parsed[$bits(parsed_t)-1:0]
  };

  // What registers hold is constant in a run.
  always_ff @(posedge clk_i) begin
    if (in_valid_i) config_q <= '{midstream: item.midstream[0], window: item.window, timeouts: item.timeouts};
  end

  weir_flow_access #(
      .FLOW_BITS(4)
  ) dut (
      .clk_i    (clk_i),
      .rst_i    (rst_i),
      .config_i (config_q),
      .valid_i  (in_valid_i && in_ready_o),
      .divert_i (item.divert[0]),
      .peek_i   (1'b0),
      .slot_i   (item.slot[3:0]),
      .arrival_i(arrival),
      .valid_o  (valid),
      .staged_o (found.staged),
      .state_o  (found.state)
  );

  weir_fifo #(
      .DEPTH_BITS(5),
      .DATA_BITS ($bits(out_t))
  ) results (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (valid),
      .data_i (found),
      .valid_o(out_valid_o),
      .data_o (result),
      .pop_i  (pop)
  );

  assign pop = out_valid_o && out_ready_i;
  assign out_data_o = (384 * 8)'(result);

  always_ff @(posedge clk_i) begin
    if (rst_i) credit_q <= '0;
    else credit_q <= credit_q + 6'(in_valid_i && in_ready_o) - 6'(pop);
  end

endmodule

`default_nettype wire
