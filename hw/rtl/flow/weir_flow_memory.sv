// Memory of the flow table on the chip.
// Function: lines of the table behind its memory port, all zero after reset. Latency: 1 cycle. Throughput: one request per
// cycle. Back-pressure: none once 2^ADDRESS_BITS cycles after reset have cleared it.
`default_nettype none

module weir_flow_memory #(
    parameter int unsigned ADDRESS_BITS = 7,  // log2 of the lines
    parameter int unsigned LINE = 896         // bits of a line
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic                    request_valid_i,
    output logic                         request_ready_o,
    input  wire logic                    request_write_i,
    input  wire logic [ADDRESS_BITS-1:0] request_address_i,
    input  wire logic [LINE-1:0]         request_data_i,
    output logic                         response_valid_o,
    output logic [LINE-1:0]              response_data_o
);

  logic [ADDRESS_BITS:0] clear_q;
  logic taken;
  assign request_ready_o = clear_q[ADDRESS_BITS];
  assign taken = request_valid_i && request_ready_o;

  weir_ram_1r1w #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .DATA_BITS   (LINE)
  ) lines (
      .clk_i          (clk_i),
      .write_i        (!request_ready_o || (taken && request_write_i)),
      .write_address_i(request_ready_o ? request_address_i : clear_q[ADDRESS_BITS-1:0]),
      .write_data_i   (request_ready_o ? request_data_i : '0),
      .read_address_i (request_address_i),
      .read_data_o    (response_data_o)
  );

  always_ff @(posedge clk_i) begin
    response_valid_o <= taken && !request_write_i && !rst_i;
    if (rst_i) clear_q <= '0;
    else if (!request_ready_o) clear_q <= clear_q + (ADDRESS_BITS + 1)'(1);
  end

endmodule

`default_nettype wire
