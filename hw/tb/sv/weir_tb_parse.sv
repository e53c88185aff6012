// The parser behind two packed ports with credits, for the test harness (cpp/harness.hpp).
`default_nettype none

module weir_tb_parse
  import weir_parse_pkg::*;
#(
    parameter int unsigned BYTES = 64
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     in_valid_i,
    output logic                          in_ready_o,
    input  wire logic [(BYTES+32)*8-1:0]  in_data_i,
    output logic                          out_valid_o,
    input  wire logic                     out_ready_i,
    output logic      [          159:0][7:0] out_data_o
);

  localparam int unsigned COUNT = $clog2(BYTES) + 1;
  localparam int unsigned DEPTH = 6;

  typedef struct packed {
    logic [7:0][15:0]      tunnel_ports;
    logic [55:0]           reserved;
    logic [7:0]            checksums;
    logic [31:0]           wire_length;
    logic [15:0]           link;
    logic [7:0]            last;
    logic [7:0]            count;
    logic [BYTES-1:0][7:0] data;
  } in_t;

  in_t beat;
  parse_config_t config_of;
  logic parsed_valid, pop;
  parsed_t parsed, result;
  logic [DEPTH:0] credit_q;

  assign beat = in_data_i;
  // What registers hold is constant: that of the last beat.
  always_ff @(posedge clk_i) begin
    if (in_valid_i) config_of <= '{checksums: beat.checksums[0], tunnel_ports: beat.tunnel_ports};
  end

  assign in_ready_o = credit_q != (DEPTH + 1)'(1 << DEPTH);

  weir_parse #(
      .BYTES(BYTES)
  ) dut (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .config_i     (config_of),
      .valid_i      (in_valid_i && in_ready_o),
      .last_i       (beat.last[0]),
      .count_i      (beat.count[COUNT-1:0]),
      .data_i       (beat.data),
      .link_i       (beat.link),
      .wire_length_i(beat.wire_length),
      .valid_o      (parsed_valid),
      .parsed_o     (parsed)
  );

  weir_fifo #(
      .DEPTH_BITS(DEPTH),
      .DATA_BITS ($bits(parsed_t))
  ) results (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (parsed_valid),
      .data_i (parsed),
      .valid_o(out_valid_o),
      .data_o (result),
      .pop_i  (pop)
  );

  assign pop = out_valid_o && out_ready_i;
  assign out_data_o = (160 * 8)'(result);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      credit_q <= '0;
    end else begin
      credit_q <= credit_q + (DEPTH + 1)'(in_valid_i && in_ready_o && beat.last[0]) -
                  (DEPTH + 1)'(pop);
    end
  end

endmodule

`default_nettype wire
