// Classes of a frame's addresses and ports.
// Function: address classes by sorted ranges of either version, port classes by table. Latency: LATENCY cycles after
// valid_i; the values stay as they are until then. Throughput: one frame at a time. Back-pressure: valid_o.
`default_nettype none

module weir_classes
  import weir_parse_pkg::*;
#(
    parameter int unsigned FOUR_LOG2 = 15,  // ranges of IPv4 addresses
    parameter int unsigned SIX_LOG2 = 8     // ranges of IPv6 addresses
) (
    input  wire logic               clk_i,
    input  wire logic               rst_i,
    input  wire logic               valid_i,
    input  wire logic               bank_i,
    input  wire parsed_t            parsed_i,
    output logic                    valid_o,
    output logic [1:0][15:0]        addresses_o,     // source, destination
    output logic [1:0][15:0]        ports_o,
    // Tables of a bank that is not in use.
    input  wire logic               write_bank_i,
    input  wire logic               write_port_i,
    input  wire logic [1:0]         write_boundary_i,  // [0] of version 4, [1] of version 6
    input  wire logic [1:0]         write_class_i,
    input  wire logic [15:0]        write_address_i,
    input  wire logic [127:0]       write_data_i
);

  localparam int unsigned LATENCY = (FOUR_LOG2 > SIX_LOG2 ? FOUR_LOG2 : SIX_LOG2) + 2;

  logic [1:0][31:0] four;
  logic [1:0][127:0] six;
  logic [1:0][15:0] four_class, six_class, values;
  logic [7:0] wait_q;

  always_comb begin
    for (int unsigned n = 0; n < 16; n++) begin
      six[0][(15-n)*8+:8] = parsed_i.source[n];
      six[1][(15-n)*8+:8] = parsed_i.destination[n];
    end
    for (int unsigned e = 0; e < 2; e++) four[e] = six[e][127:96];
    values = {parsed_i.destination_port, parsed_i.source_port};
    addresses_o = parsed_i.six ? six_class : four_class;
  end

  weir_range_search #(
      .KEY_BITS(32),
      .LOG2    (FOUR_LOG2)
  ) fours (
      .clk_i           (clk_i),
      .bank_i          (bank_i),
      .value_i         (four),
      .class_o         (four_class),
      .write_boundary_i(write_boundary_i[0]),
      .write_class_i   (write_class_i[0]),
      .write_bank_i    (write_bank_i),
      .write_address_i (write_address_i[FOUR_LOG2-1:0]),
      .write_data_i    (write_data_i[31:0])
  );

  weir_range_search #(
      .KEY_BITS(128),
      .LOG2    (SIX_LOG2)
  ) sixes (
      .clk_i           (clk_i),
      .bank_i          (bank_i),
      .value_i         (six),
      .class_o         (six_class),
      .write_boundary_i(write_boundary_i[1]),
      .write_class_i   (write_class_i[1]),
      .write_bank_i    (write_bank_i),
      .write_address_i (write_address_i[SIX_LOG2-1:0]),
      .write_data_i    (write_data_i)
  );

  for (genvar e = 0; e < 2; e++) begin : g_port
    weir_ram_1r1w #(
        .ADDRESS_BITS(17),
        .DATA_BITS   (16)
    ) ports (
        .clk_i          (clk_i),
        .write_i        (write_port_i),
        .write_address_i({write_bank_i, write_address_i}),
        .write_data_i   (write_data_i[15:0]),
        .read_address_i ({bank_i, values[e]}),
        .read_data_o    (ports_o[e])
    );
  end

  assign valid_o = wait_q == 8'd1;
  always_ff @(posedge clk_i) begin
    if (rst_i) wait_q <= '0;
    else if (valid_i) wait_q <= 8'(LATENCY);
    else if (wait_q != '0) wait_q <= wait_q - 8'd1;
  end

endmodule

`default_nettype wire
