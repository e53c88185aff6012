// Key and table behind two packed ports, with a memory of random latency, for the test harness (cpp/harness.hpp).
`default_nettype none

module weir_tb_flow_table
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
#(
    parameter int unsigned BUCKETS_LOG2 = 3
) (
    input  wire logic              clk_i,
    input  wire logic              rst_i,
    input  wire logic              in_valid_i,
    output logic                   in_ready_o,
    input  wire logic [224*8-1:0]  in_data_i,
    output logic                   out_valid_o,
    input  wire logic              out_ready_i,
    output logic      [96*8-1:0]   out_data_o
);

  localparam int unsigned ADDRESS = BUCKETS_LOG2 + 4;
  localparam int unsigned LINE = 8 * 112;

  typedef struct packed {
    logic [15:0][7:0]  reserved;
    logic [5:0][63:0]  constants;
    logic [96*8-1:0]   parsed;
    logic [63:0]       timeout;
    logic [63:0]       now;
    logic [31:0]       generation_of;
    logic [31:0]       slot;
    logic [31:0]       latency;   // of the memory, at most
    logic [15:0]       pad;
    logic [7:0]        vlan_key;
    logic [7:0]        op;
  } in_t;

  typedef struct packed {
    logic [63:0]      hash;
    flow_key_t        key;
    logic [7:0]       swept;
    logic [1:0][31:0] ended_slot;
    logic [31:0]      generation_of;
    logic [31:0]      slot;
    logic             from_lower;
    logic [1:0]       ended;
    logic             created;
    logic             live;
  } out_t;

  // One item at a time.
  in_t item_q;
  logic busy_q, keyed, started_q, valid, ready, from_lower, live, created;
  flow_key_t key;
  logic [63:0] hash;
  logic [31:0] slot, generation_of;
  logic [1:0] ended;
  logic [1:0][31:0] ended_slot;
  logic [7:0] swept;
  out_t result, result_q;
  logic result_valid_q;

  assign in_ready_o = !busy_q;

  weir_flow_key keys (
      .clk_i       (clk_i),
      .rst_i       (rst_i),
      .vlan_key_i  (item_q.vlan_key[0]),
      .constants_i (item_q.constants),
      .valid_i     (busy_q && !started_q),
      .parsed_i    (item_q.parsed[$bits(parsed_t)-1:0]),
      .given_i     (1'b0),
      .key_i       ('0),
      .valid_o     (keyed),
      .key_o       (key),
      .hash_o      (hash),
      .from_lower_o(from_lower)
  );

  logic request_valid, request_ready, request_write, response_valid;
  logic [ADDRESS-1:0] request_address;
  logic [LINE-1:0] request_data, response_data;

  weir_flow_table #(
      .BUCKETS_LOG2(BUCKETS_LOG2)
  ) dut (
      .clk_i            (clk_i),
      .rst_i            (rst_i),
      .valid_i          (keyed),
      .ready_o          (ready),
      .op_i             (item_q.op[2:0]),
      .key_i            (key),
      .hash_i           (hash),
      .now_i            (item_q.now),
      .expiry_i         (item_q.now + item_q.timeout),
      .slot_i           (item_q.slot),
      .generation_i     (item_q.generation_of),
      .valid_o          (valid),
      .live_o           (live),
      .created_o        (created),
      .slot_o           (slot),
      .generation_o     (generation_of),
      .ended_o          (ended),
      .ended_slot_o     (ended_slot),
      .swept_o          (swept),
      .used_o           (),
      .request_valid_o  (request_valid),
      .request_ready_i  (request_ready),
      .request_write_o  (request_write),
      .request_address_o(request_address),
      .request_data_o   (request_data),
      .response_valid_i (response_valid),
      .response_data_i  (response_data)
  );

  // ---- memory: reads answered in order, each after its own time
  logic [LINE-1:0] memory[1<<ADDRESS];
  logic [31:0] random_q;
  logic [7:0] wait_q;
  logic pending_valid, take;
  logic [ADDRESS-1:0] pending;

  assign request_ready = item_q.latency == '0 || random_q[3:0] != '0;
  weir_fifo #(
      .DEPTH_BITS(2),
      .DATA_BITS (ADDRESS)
  ) pendings (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (request_valid && request_ready && !request_write),
      .data_i (request_address),
      .valid_o(pending_valid),
      .data_o (pending),
      .pop_i  (take)
  );
  assign take = pending_valid && wait_q == '0;

  always_ff @(posedge clk_i) begin
    if (request_valid && request_ready && request_write) memory[request_address] <= request_data;
    response_valid <= take;
    response_data <= memory[pending];
    random_q <= {random_q[30:0], random_q[31] ^ random_q[21] ^ random_q[1] ^ random_q[0]};
    wait_q <= take ? 8'(random_q[23:8] % 16'(item_q.latency + 32'd1)) : wait_q - 8'(wait_q != '0);
    if (rst_i) begin
      random_q <= 32'h1234_5679;
      wait_q <= '0;
      response_valid <= 1'b0;
    end
  end

  always_comb begin
    result = '0;
    result.hash = hash;
    result.key = key;
    result.swept = swept;
    result.ended_slot = ended_slot;
    result.generation_of = generation_of;
    result.slot = slot;
    result.from_lower = from_lower;
    result.ended = ended;
    result.created = created;
    result.live = live;
  end

  assign out_valid_o = result_valid_q;
  assign out_data_o  = (96 * 8)'(result_q);

  // Nothing is in the table after reset.
  logic [ADDRESS:0] clear_q;
  always_ff @(posedge clk_i) begin
    if (!clear_q[ADDRESS]) memory[clear_q[ADDRESS-1:0]] <= '0;
    if (in_valid_i && in_ready_o) item_q <= in_data_i;
    if (valid) result_q <= result;
    if (rst_i) begin
      busy_q <= 1'b1;
      started_q <= 1'b1;
      result_valid_q <= 1'b0;
      clear_q <= '0;
    end else begin
      if (!clear_q[ADDRESS]) begin
        clear_q <= clear_q + (ADDRESS + 1)'(1);
        if (clear_q == (ADDRESS + 1)'((1 << ADDRESS) - 1)) busy_q <= 1'b0;
      end
      if (busy_q) started_q <= 1'b1;
      if (in_valid_i && in_ready_o) begin
        busy_q <= 1'b1;
        started_q <= 1'b0;
      end
      if (valid) result_valid_q <= 1'b1;
      if (result_valid_q && out_ready_i) begin
        result_valid_q <= 1'b0;
        busy_q <= 1'b0;
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) if (!rst_i && keyed) assert (ready);
`endif

endmodule

`default_nettype wire
