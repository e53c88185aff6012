// The literal filter behind two packed ports, for the test harness (cpp/harness.hpp). Items: beats and table writes.
`default_nettype none

module weir_tb_match
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
#(
    parameter int unsigned BYTES = 64,
    parameter logic [LENGTHS-1:0][3:0] PARTITIONS = {4'd3, 4'd0, 4'd0, 4'd2, 4'd2},
    parameter logic [LENGTHS-1:0][7:0] BLOOM_LOG2 = {8'd19, 8'd15, 8'd15, 8'd17, 8'd19},
    parameter logic [LENGTHS-1:0][7:0] BUCKETS_LOG2 = {8'd14, 8'd11, 8'd11, 8'd12, 8'd14}
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     in_valid_i,
    output logic                          in_ready_o,
    input  wire logic [(BYTES+48)*8-1:0]  in_data_i,
    output logic                          out_valid_o,
    input  wire logic                     out_ready_i,
    output logic      [255:0]             out_data_o
);

  typedef struct packed {
    logic [127:0]          write_data;
    logic [31:0]           reserved;
    logic [31:0]           address;
    logic [15:0]           reserved1;
    logic [7:0]            part;
    logic [7:0]            length_of;
    logic [7:0]            reserved2;
    logic [6:0][7:0]       tail;
    logic [31:0]           last_place;
    logic [31:0]           start;
    logic [7:0]            tail_count;
    logic [7:0]            bank;
    logic [7:0]            last;
    logic [7:0]            op;           // 0 beat, 1 Bloom word, 2 exact entry, 3 geometry of a length
    logic [BYTES-1:0][7:0] data;
  } in_t;

  in_t item;
  logic ready, write;
  match_geometry_t [1:0] geometry_q;
  hit_t hit;
  scan_context_t context_of;

  assign item = in_data_i;
  assign write = in_valid_i && item.op != '0;
  assign in_ready_o = item.op != '0 || ready;
  assign context_of = '{
      bank: item.bank[0],
      start: item.start[19:0],
      last: item.last_place[19:0],
      tail_count: item.tail_count[2:0],
      tail: item.tail
  };

  weir_match #(
      .BYTES       (BYTES),
      .PARTITIONS  (PARTITIONS),
      .BLOOM_LOG2  (BLOOM_LOG2),
      .BUCKETS_LOG2(BUCKETS_LOG2)
  ) dut (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .geometry_i     (geometry_q),
      .ready_o        (ready),
      .valid_i        (in_valid_i && item.op == '0 && ready),
      .last_i         (item.last[0]),
      .data_i         (item.data),
      .context_i      (context_of),
      .hit_ready_i    (out_ready_i),
      .hit_valid_o    (out_valid_o),
      .hit_o          (hit),
      .write_bloom_i  (write && item.op == 8'd1),
      .write_exact_i  (write && item.op == 8'd2),
      .write_bank_i   (item.bank[0]),
      .write_length_i (item.length_of[2:0]),
      .write_part_i   (item.part[3:0]),
      .write_address_i(item.address[23:0]),
      .write_data_i   (item.write_data)
  );

  assign out_data_o = 256'(hit);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      geometry_q <= '0;
    end else if (write && item.op == 8'd3) begin
      geometry_q[item.bank[0]].candidates <= item.write_data[127:96];
      geometry_q[item.bank[0]].lengths[item.length_of[2:0]] <= '{
          multiplier: item.write_data[63:0],
          partitions: item.write_data[66:64],
          bits_log2: item.write_data[76:72],
          buckets_log2: item.write_data[84:80]
      };
    end
  end

endmodule

`default_nettype wire
