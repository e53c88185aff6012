// The TX rings: verdicts and flow commands, in order.
//
// Function: hw-sim/src/pipeline/commands.rs. Entries of the queues in turn, until none is left or one finds no room for its
// answer: a pass over the queues, started by go_i. Latency: a host read, and some 15 cycles for an entry. Throughput: one
// entry at a time. Back-pressure: done_o; stalled_o says that an entry waits for the host.
`default_nettype none

module weir_commands
  import weir_contract_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic                    go_i,
    output logic                         done_o,
    output logic                         pending_o,   // entries wait
    input  wire core_config_t            config_i,
    input  wire queue_host_t [QUEUES-1:0] host_i,
    input  wire logic [QUEUES-1:0][31:0] descriptors_free_i,
    input  wire logic [QUEUES-1:0]       records_on_i,
    input  wire logic [QUEUES-1:0][31:0] records_free_i,
    input  wire logic [63:0]             now_i,
    output read_request_t                read_o,
    input  wire read_answer_t            read_i,
    output logic                         hash_valid_o,  // of a key that the host gives
    output flow_key_t                    hash_key_o,
    input  wire logic                    hash_valid_i,
    input  wire logic [63:0]             hash_i,
    output table_request_t               table_o,
    input  wire table_answer_t           table_i,
    output verdict_request_t             verdict_o,
    input  wire verdict_answer_t         verdict_i,
    output identity_write_t              identity_o,
    output logic [31:0]                  identity_slot_o,
    input  wire identity_t               identity_i,
    output life_request_t                life_o,
    input  wire logic                    life_done_i,
    output logic                         answer_o,        // a verdict for a diverted frame: is it open?
    output logic [63:0]                  answer_number_o,
    input  wire logic                    answer_valid_i,
    input  wire logic                    answer_open_i,
    output write_request_t               write_o,
    input  wire logic                    write_ready_i,
    output egress_t                      egress_o,
    input  wire logic                    egress_ready_i,
    output logic [QUEUES-1:0][31:0]      consumer_o,
    output error_t                       error_o,
    output count_t                       count_o
);

  typedef enum logic [4:0] {
    IDLE, LOOK, FETCH, DECODE, VERDICT, NAME, BLOCK, FLOW, FORGET, FORGET_LIFE, SEND, SEND_FETCH, KEY, HASH, TABLE,
    ENDED, CREATE, DIVERT, TAKEN, NEXT
  } state_e;

  state_e state_q;
  logic [QUEUES_LOG2-1:0] queue_q, key_queue, flow_queue;
  tx_entry_t entry_q;
  flow_key_t key_q;
  logic [63:0] hash_q;
  logic [31:0] slot_q, left_q, sent_bytes_q;
  logic sent_q, created_q;
  logic [1:0] ended_q;
  logic [1:0][31:0] ended_slot_q;
  logic [31:0] generation_q;
  logic [511:0] data_q;
  logic [6:0] part;
  logic bad, whole, last_part, no_bytes;
  verdict_op_e op;

  assign key_queue = QUEUES_LOG2'(hash_q[5:0] & config_i.queue_mask);
  assign flow_queue = identity_i.queue_of[QUEUES_LOG2-1:0];
  assign identity_slot_o = slot_q;
  assign done_o = state_q == NEXT && queue_q == '1;
  assign part = left_q > 32'd64 ? 7'd64 : left_q[6:0];
  assign last_part = left_q <= 32'd64;
  assign whole = entry_q.command == 8'(TX_COMMAND_RESET) || entry_q.flags[TX_FLAGS_WHOLE_FLOW_BIT];
  assign no_bytes = entry_q.length == '0;

  always_comb begin
    pending_o = 1'b0;
    for (int unsigned q = 0; q < QUEUES; q++) begin
      if (consumer_o[q] != host_i[q].tx_producer) pending_o = 1'b1;
    end
    unique case (entry_q.command)
      8'(TX_COMMAND_RELEASE): op = VERDICT_RELEASE;
      8'(TX_COMMAND_SETTLE): op = VERDICT_SETTLE;
      8'(TX_COMMAND_BYPASS): op = VERDICT_BYPASS;
      default: op = VERDICT_BLOCK;
    endcase
    bad = entry_q.flags[7:4] != '0 || entry_q.command == '0 || entry_q.command > 8'd9;
    if (entry_q.command inside {8'(TX_COMMAND_FORWARD), 8'(TX_COMMAND_DROP), 8'(TX_COMMAND_RESET),
                                8'(TX_COMMAND_INJECT)} && entry_q.length > FRAME_LENGTH_MAX) bad = 1'b1;
    if (entry_q.command == 8'(TX_COMMAND_INJECT) && no_bytes) bad = 1'b1;
    if (entry_q.command == 8'(TX_COMMAND_DIVERT) && entry_q.flags[TX_FLAGS_BY_KEY_BIT] &&
        entry_q.length != 32'(FLOW_KEY_BYTES)) bad = 1'b1;
  end

  always_comb begin
    read_o = '0;
    hash_valid_o = 1'b0;
    hash_key_o = key_q;
    table_o = '0;
    table_o.slot = '0;
    verdict_o = '0;
    identity_o = '0;
    life_o = '0;
    answer_o = 1'b0;
    answer_number_o = entry_q.frame_number;
    write_o = '0;
    egress_o = '0;
    error_o = '0;
    count_o = '0;
    count_o.amount_of = '1;
    unique case (state_q)
      FETCH: begin
        read_o.valid = !read_i.valid;
        read_o.address = host_i[queue_q].tx_base +
                         64'({consumer_o[queue_q] & (host_i[queue_q].tx_entries - 32'd1), 6'd0});
        read_o.bytes = 7'd64;
      end
      DECODE: begin
        if (bad) begin
          count_o.more[COUNTER_COMMAND_BAD] = 1'b1;
          error_o = '{valid: 1'b1, code: ERROR_BAD_COMMAND, detail: 64'(consumer_o[queue_q])};
        end
      end
      VERDICT: begin
        answer_o = !sent_q;
        if (answer_valid_i) begin
          if (!answer_open_i) begin
            count_o.more[COUNTER_VERDICT_UNKNOWN] = 1'b1;
          end else begin
            count_o.less[COUNTER_IN_FLIGHT] = 1'b1;
            if (entry_q.command == 8'(TX_COMMAND_FORWARD)) begin
              count_o.more[COUNTER_VERDICT_FORWARD] = 1'b1;
              count_o.more[COUNTER_RETURNED_FRAMES] = 1'b1;
            end else begin
              count_o.more[COUNTER_VERDICT_DROP] = 1'b1;
            end
          end
        end
      end
      NAME, FORGET: begin
        table_o.valid = !sent_q;
        table_o.op = state_q == FORGET ? TABLE_FORGET : TABLE_NAME;
        table_o.slot = entry_q.flow_index;
        table_o.generation_of = entry_q.flow_generation;
        table_o.now = now_i;
        if (table_i.valid && !table_i.live) count_o.more[COUNTER_COMMAND_STALE] = 1'b1;
      end
      FLOW, BLOCK: begin
        verdict_o.valid = !sent_q;
        verdict_o.slot = entry_q.flow_index;
        verdict_o.beat.op = op;
        verdict_o.beat.keep_history = entry_q.flags[TX_FLAGS_KEEP_HISTORY_BIT];
        verdict_o.beat.scopes = entry_q.scopes;
        verdict_o.beat.told_class = entry_q.told_class[5:0];
        verdict_o.beat.bound = entry_q.frame_number;
        if (verdict_i.valid) begin
          unique case (op)
            VERDICT_RELEASE: begin
              count_o.more[COUNTER_RELEASE_DONE] = verdict_i.out.done;
              count_o.more[COUNTER_RELEASE_REFUSED] = !verdict_i.out.done;
            end
            VERDICT_SETTLE: count_o.more[COUNTER_SETTLES] = 1'b1;
            VERDICT_BYPASS: count_o.more[COUNTER_BYPASSES] = 1'b1;
            default: ;
          endcase
        end
      end
      FORGET_LIFE: begin
        life_o.valid = !sent_q;
        life_o.op = LIFE_END;
        life_o.kind = 8'(FLOW_RECORD_KIND_FORGOTTEN);
        life_o.slot = slot_q;
        count_o.more[COUNTER_FORGETS] = !sent_q;
      end
      SEND_FETCH: begin
        read_o.valid = !read_i.valid;
        read_o.address = entry_q.data + 64'(sent_bytes_q);
        read_o.bytes = part;
      end
      SEND: begin
        egress_o.valid = 1'b1;
        egress_o.kind = entry_q.command == 8'(TX_COMMAND_INJECT) ? EGRESS_INJECTED : EGRESS_FORWARDED;
        egress_o.port = entry_q.port;
        egress_o.number = entry_q.frame_number;
        egress_o.last = last_part;
        egress_o.bytes = part;
        egress_o.data = data_q;
        if (egress_ready_i && last_part) begin
          count_o.more[COUNTER_TRANSMITTED_FRAMES] = 1'b1;
          count_o.more[COUNTER_INJECTED_FRAMES] = entry_q.command == 8'(TX_COMMAND_INJECT);
        end
      end
      KEY: begin
        read_o.valid = !read_i.valid;
        read_o.address = entry_q.data;
        read_o.bytes = 7'(FLOW_KEY_BYTES);
        if (read_i.valid && read_i.fault) begin
          count_o.more[COUNTER_COMMAND_BAD] = 1'b1;
          error_o = '{valid: 1'b1, code: ERROR_BAD_COMMAND, detail: 64'(consumer_o[queue_q])};
        end
      end
      HASH: begin
        if (key_q.depth != '0 || !(key_q.version inside {8'd4, 8'd6})) begin
          count_o.more[COUNTER_COMMAND_STALE] = 1'b1;
        end else begin
          hash_valid_o = !sent_q;
        end
      end
      TABLE: begin
        table_o.valid = !sent_q;
        table_o.op = TABLE_KEY;
        table_o.key = key_q;
        table_o.hash = hash_q;
        table_o.now = now_i;
        table_o.expiry = expiry_of(config_i, key_q.protocol, now_i);
        if (table_i.valid && !table_i.live) count_o.more[COUNTER_COMMAND_STALE] = 1'b1;
      end
      ENDED: begin
        life_o.valid = !sent_q && ended_q != '0;
        life_o.op = LIFE_END;
        life_o.kind = 8'(FLOW_RECORD_KIND_AGED);
        life_o.slot = ended_q[0] ? ended_slot_q[0] : ended_slot_q[1];
      end
      CREATE: begin
        if (created_q) begin
          identity_o.valid = 1'b1;
          identity_o.slot = slot_q;
          identity_o.identity = '{key: key_q, generation_of: generation_q, queue_of: 6'(key_queue)};
          count_o.more[COUNTER_FLOWS_CREATED] = 1'b1;
          count_o.more[COUNTER_FLOWS_LIVE] = 1'b1;
        end
      end
      DIVERT: begin
        life_o.valid = !sent_q;
        life_o.op = LIFE_DIVERT;
        life_o.slot = slot_q;
        life_o.created = created_q;
      end
      TAKEN: begin
        write_o.valid = 1'b1;
        write_o.kind = WRITE_TX_CONSUMER;
        write_o.queue_of = 6'(queue_q);
        write_o.body[31:0] = consumer_o[queue_q] + 32'd1;
      end
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    unique case (state_q)
      IDLE: begin
        queue_q <= '0;
        if (go_i) state_q <= LOOK;
      end
      LOOK: state_q <= consumer_o[queue_q] != host_i[queue_q].tx_producer ? FETCH : NEXT;
      FETCH: begin
        entry_q <= read_i.data;
        if (read_i.valid) state_q <= read_i.fault ? NEXT : DECODE;
      end
      DECODE: begin
        sent_q <= 1'b0;
        slot_q <= entry_q.flow_index;
        created_q <= 1'b0;
        left_q <= entry_q.length;
        sent_bytes_q <= '0;
        if (bad) begin
          state_q <= TAKEN;
        end else begin
          unique case (entry_q.command)
            8'(TX_COMMAND_FORWARD), 8'(TX_COMMAND_DROP), 8'(TX_COMMAND_RESET): state_q <= VERDICT;
            8'(TX_COMMAND_INJECT): state_q <= SEND_FETCH;
            8'(TX_COMMAND_DIVERT): state_q <= entry_q.flags[TX_FLAGS_BY_KEY_BIT] ? KEY : NAME;
            default: state_q <= NAME;
          endcase
        end
      end
      VERDICT:
      if (answer_valid_i) begin
        sent_q <= 1'b0;
        if (!answer_open_i) state_q <= TAKEN;
        else if (entry_q.command == 8'(TX_COMMAND_FORWARD)) state_q <= no_bytes ? SEND : SEND_FETCH;
        else if (whole && !entry_q.flags[TX_FLAGS_FLOWLESS_BIT]) state_q <= NAME;
        else state_q <= TAKEN;
      end
      NAME:
      if (table_i.valid) begin
        sent_q <= 1'b0;
        if (!table_i.live) begin
          state_q <= TAKEN;
        end else begin
          unique case (entry_q.command)
            8'(TX_COMMAND_DROP), 8'(TX_COMMAND_RESET): state_q <= BLOCK;
            8'(TX_COMMAND_FORGET):
            state_q <= records_on_i[flow_queue] && records_free_i[flow_queue] == '0 ? NEXT : FORGET;
            8'(TX_COMMAND_DIVERT): state_q <= descriptors_free_i[flow_queue] == '0 ? NEXT : DIVERT;
            default: state_q <= FLOW;
          endcase
        end
      end
      BLOCK, FLOW: if (verdict_i.valid) state_q <= TAKEN;
      FORGET:
      if (table_i.valid) begin
        sent_q  <= 1'b0;
        state_q <= FORGET_LIFE;
      end
      FORGET_LIFE: if (life_done_i) state_q <= TAKEN;
      SEND_FETCH: begin
        data_q <= read_i.data;
        if (read_i.valid) begin
          state_q <= SEND;
          // Bytes that cannot be read end the frame.
          if (read_i.fault) left_q <= '0;
        end
      end
      SEND:
      if (egress_ready_i) begin
        left_q <= left_q - 32'(part);
        sent_bytes_q <= sent_bytes_q + 32'd64;
        state_q <= last_part ? TAKEN : SEND_FETCH;
      end
      KEY: begin
        key_q <= flow_key_t'(read_i.data[8*44-1:0]);
        if (read_i.valid) begin
          sent_q  <= 1'b0;
          state_q <= read_i.fault ? TAKEN : HASH;
        end
      end
      HASH: begin
        hash_q <= hash_i;
        if (key_q.depth != '0 || !(key_q.version inside {8'd4, 8'd6})) begin
          state_q <= TAKEN;
        end else if (hash_valid_i) begin
          sent_q  <= 1'b0;
          state_q <= descriptors_free_i[QUEUES_LOG2'(hash_i[5:0]&config_i.queue_mask)] == '0 ? NEXT : TABLE;
        end
      end
      TABLE: begin
        slot_q <= table_i.slot;
        generation_q <= table_i.generation_of;
        created_q <= table_i.created;
        ended_q <= table_i.ended;
        ended_slot_q <= table_i.ended_slot;
        if (table_i.valid) begin
          sent_q  <= 1'b0;
          state_q <= !table_i.live && table_i.ended == '0 ? TAKEN : ENDED;
        end
      end
      ENDED: begin
        if (ended_q == '0) begin
          state_q <= CREATE;
        end else if (life_done_i) begin
          sent_q <= 1'b0;
          if (ended_q[0]) ended_q[0] <= 1'b0;
          else ended_q[1] <= 1'b0;
        end
      end
      CREATE: begin
        sent_q  <= 1'b0;
        state_q <= DIVERT;
      end
      DIVERT: if (life_done_i) state_q <= TAKEN;
      TAKEN:
      if (write_ready_i) begin
        consumer_o[queue_q] <= consumer_o[queue_q] + 32'd1;
        state_q <= LOOK;
      end
      default: begin
        queue_q <= queue_q + QUEUES_LOG2'(1);
        state_q <= queue_q == '1 ? IDLE : LOOK;
      end
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      consumer_o <= '0;
    end
  end

endmodule

`default_nettype wire
