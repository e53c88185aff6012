// The loader behind flat ports, a cycle at a time (cpp/loader.cpp).
`default_nettype none

module weir_tb_loader
  import weir_load_pkg::*;
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
(
    input  wire logic              clk_i,
    input  wire logic [96*8-1:0]   in_data_i,
    output logic      [192*8-1:0]  out_data_o
);

  typedef struct packed {
    logic [511:0] answer_data;
    logic [63:0]  pad_1;
    logic [63:0]  length_of;
    logic [63:0]  address;
    logic [31:0]  epoch;
    logic [23:0]  pad_0;
    logic [1:0]   in_use;
    logic         answer_fault;
    logic         answer_valid;
    logic         ask_ready;
    logic         activate;
    logic         load;
    logic         rst;
  } in_t;

  typedef struct packed {
    logic [1023:0] write_data;
    logic [31:0]   pad_2;
    logic [7:0]    write_part;
    logic [7:0]    write_length;
    logic [7:0]    write_bank;
    logic [7:0]    write_table;
    logic [63:0]   ask_address;
    logic [127:0]  identity;
    logic [31:0]   write_address;
    logic [31:0]   crc;
    logic [31:0]   previous;
    logic [31:0]   shadow;
    logic [31:0]   epoch;
    logic [31:0]   offset;
    logic [15:0]   pad_1;
    logic [15:0]   block;
    logic [7:0]    ask_bytes;
    logic [7:0]    error;
    logic [7:0]    state;
    logic          write_valid;
    logic          ask_valid;
    logic          unknown;
    logic          changed;
    logic          bank;
    logic          valid;
    logic          refused;
    logic          ended;
  } out_t;

  in_t in;
  out_t out;
  refusal_t refusal;
  tables_id_t tables;
  table_write_t write;
  logic [1:0] state;
  logic [6:0] ask_bytes;

  assign in = in_data_i;
  assign out_data_o = out;

  weir_loader dut (
      .clk_i         (clk_i),
      .rst_i         (in.rst),
      .address_i     (in.address),
      .length_i      (in.length_of),
      .load_i        (in.load),
      .activate_i    (in.activate),
      .epoch_i       (in.epoch),
      .state_o       (state),
      .ended_o       (out.ended),
      .refusal_o     (refusal),
      .active_valid_o(out.valid),
      .active_bank_o (out.bank),
      .active_epoch_o(out.epoch),
      .shadow_o      (out.shadow),
      .previous_o    (out.previous),
      .tables_o      (tables),
      .changed_o     (out.changed),
      .unknown_o     (out.unknown),
      .ask_valid_o   (out.ask_valid),
      .ask_ready_i   (in.ask_ready),
      .ask_address_o (out.ask_address),
      .ask_bytes_o   (ask_bytes),
      .answer_valid_i(in.answer_valid),
      .answer_fault_i(in.answer_fault),
      .answer_data_i (in.answer_data),
      .in_use_i      (in.in_use),
      .write_o       (write),
      .geometry_o    (),
      .sets_o        (),
      .list_limit_o  ()
  );

  assign out.refused = refusal.valid;
  assign out.error = 8'(refusal.error);
  assign out.block = refusal.block;
  assign out.offset = refusal.offset;
  assign out.state = 8'(state);
  assign out.ask_bytes = 8'(ask_bytes);
  assign out.crc = tables.crc;
  assign out.identity = tables.identity;
  assign out.write_valid = write.valid;
  assign out.write_table = 8'(write.table_of);
  assign out.write_bank = 8'(write.bank);
  assign out.write_length = 8'(write.length_of);
  assign out.write_part = 8'(write.part);
  assign out.write_address = 32'(write.address);
  assign out.write_data = write.data;
  assign out.pad_1 = '0;
  assign out.pad_2 = '0;

endmodule

`default_nettype wire
