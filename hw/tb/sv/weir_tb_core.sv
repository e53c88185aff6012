// The frame path behind flat ports, a cycle at a time (cpp/core.cpp). `settings_i` is what registers hold.
`default_nettype none

module weir_tb_core
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_facts_pkg::*;
  import weir_flow_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
#(
    parameter int unsigned BYTES = 16,
    parameter int unsigned QUEUES_LOG2 = 2,
    parameter int unsigned BUCKETS_LOG2 = 10,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                              clk_i,
    input  wire logic [464*8-1:0]                  settings_i,
    input  wire logic [QUEUES*16*8-1:0]            host_i,
    input  wire logic [304*8-1:0]                  in_data_i,
    output logic      [216*8-1:0]                  out_data_o,
    output logic      [(weir_contract_pkg::COUNTER_COUNT+weir_contract_pkg::GUARDS_MAX)*64-1:0] counters_o
);

  typedef struct packed {
    logic [1023:0]    write_data;
    logic [511:0]     read_data;
    logic [511:0]     data;
    logic [63:0]      time_of;
    logic [63:0]      frame_time;
    logic [63:0]      number;
    logic [31:0]      pad_1;
    logic [31:0]      write_address;
    logic [31:0]      wire_length;
    logic [15:0]      pad;
    logic [15:0]      link;
    logic [7:0]       pad_0;
    logic [7:0]       write_part;
    logic [7:0]       write_length;
    logic [7:0]       write_bank;
    logic [7:0]       write_table;  // 13: geometry of a length, 14: limits, 15: escape sets, 16: words
    logic [7:0]       count;
    logic             spare_1;
    logic             spare_0;
    logic             hold;
    logic             write;
    logic             read_fault;
    logic             read_valid;
    logic             egress_ready;
    logic             store_ready;
    logic             time_valid;
    logic             over;
    logic             flush;
    logic             heartbeat;
    logic             lossy;
    logic             last;
    logic             valid;
    logic             rst;
  } in_t;

  typedef struct packed {
    logic [3:0][31:0] tx_consumer;
    logic [511:0]     egress_data;
    logic [55:0]      pad_3;
    logic [7:0]       read_bytes;
    logic [63:0]      read_address;
    logic [511:0]     store_data;
    logic [47:0]      pad_2;
    logic [7:0]       store_ending;
    logic [7:0]       store_bytes;
    logic [63:0]      store_address;
    logic [63:0]      egress_number;
    logic [63:0]      error_detail;
    logic [63:0]      now;
    logic [63:0]      number;
    logic [31:0]      error_code;
    logic [7:0]       egress_port;
    logic [7:0]       egress_bytes;
    logic [1:0]       pad_1;
    logic [1:0]       egress_kind;
    logic             error_valid;
    logic             egress_last;
    logic             egress_valid;
    logic             read_valid;
    logic             store_valid;
    logic             expired;
    logic             ended;
    logic             rest;
    logic             stalled;
    logic             waits;
    logic             taken;
    logic             ready;
  } out_t;

  // Of one queue.
  typedef struct packed {
    logic [63:0] tx_base;
    logic [63:0] status_base;
    logic [63:0] flow_record_base;
    logic [63:0] descriptor_base;
    logic [63:0] history_margin;
    logic [63:0] history_size;
    logic [63:0] history_base;
    logic [31:0] pad;
    logic [31:0] tx_entries;
    logic [31:0] flow_record_entries;
    logic [31:0] descriptor_entries;
  } queue_t;

  typedef struct packed {
    logic [QUEUES-1:0][575:0] queues;
    logic [31:0]      active_pad;
    logic [31:0]      window;
    logic [31:0]      epoch;
    logic [7:0]       queue_mask;
    logic [7:0]       bank;
    logic [7:0]       active;
    logic [7:0]       fail_closed;
    logic [31:0]      watchdog_frames;
    logic [7:0]       source_waits;
    logic [7:0]       midstream;
    logic [7:0]       vlan_key;
    logic [7:0]       checksums;
    logic [63:0]      watchdog_time;
    logic [63:0]      report_interval;
    logic [63:0]      margin;
    logic [7:0][63:0] timeouts;
    logic [5:0][63:0] flow_hash;
    logic [7:0][15:0] tunnel_ports;
  } settings_t;

  typedef struct packed {
    logic [31:0] pad;
    logic [31:0] tx_producer;
    logic [31:0] flow_record_consumer;
    logic [31:0] descriptor_consumer;
  } doorbells_t;

  in_t in;
  out_t out;
  settings_t s;
  doorbells_t [QUEUES-1:0] doorbells;
  core_config_t config_in;
  queue_config_t [QUEUES-1:0] queues;
  queue_host_t [QUEUES-1:0] host;
  active_t active;
  queue_t q;
  store_t store;
  read_request_t read;
  egress_t egress;
  error_t error;
  logic [QUEUES-1:0][31:0] consumer;

  assign in = in_data_i;
  assign s = settings_i;
  assign doorbells = host_i;
  assign out_data_o = out;

  always_comb begin
    config_in = '{
        parse: '{checksums: s.checksums[0], tunnel_ports: s.tunnel_ports},
        follow: '{midstream: s.midstream[0], window: s.window, timeouts: s.timeouts},
        margin: s.margin,
        report_interval: s.report_interval,
        flow_hash: s.flow_hash,
        vlan_key: s.vlan_key[0],
        source_waits: s.source_waits[0],
        fail_closed: s.fail_closed[0],
        watchdog_frames: s.watchdog_frames,
        watchdog_time: s.watchdog_time,
        queue_mask: s.queue_mask[5:0]
    };
    active = '{valid: s.active[0], bank: s.bank[0], epoch: s.epoch};
    q = '0;
    for (int unsigned n = 0; n < QUEUES; n++) begin
      q = s.queues[n];
      queues[n] = '{
          history_base: q.history_base,
          history_size: q.history_size,
          descriptor_base: q.descriptor_base,
          descriptor_entries: q.descriptor_entries,
          flow_record_base: q.flow_record_base,
          flow_record_entries: q.flow_record_entries,
          status_base: q.status_base
      };
      host[n] = '{
          history_margin: q.history_margin,
          tx_base: q.tx_base,
          tx_entries: q.tx_entries,
          descriptor_consumer: doorbells[n].descriptor_consumer,
          flow_record_consumer: doorbells[n].flow_record_consumer,
          tx_producer: doorbells[n].tx_producer
      };
    end
  end

  // What the loader tells of a bank, beside its tables.
  match_geometry_t [1:0] geometry_q;
  escape_sets_t [1:0] sets_q;
  logic [1:0][31:0] list_limit_q;
  logic bank;
  assign bank = in.write_bank[0];
  always_ff @(posedge clk_i) begin
    if (in.write) begin
      unique case (in.write_table)
        8'd13: begin
          geometry_q[bank].lengths[in.write_length[2:0]] <= '{
              multiplier: in.write_data[63:0],
              partitions: in.write_data[66:64],
              bits_log2: in.write_data[76:72],
              buckets_log2: in.write_data[84:80]
          };
        end
        8'd14: begin
          geometry_q[bank].candidates <= in.write_data[31:0];
          list_limit_q[bank] <= in.write_data[63:32];
        end
        8'd15: sets_q[bank][767:0] <= in.write_data[767:0];
        8'd16: sets_q[bank].words <= in.write_data[$bits(words_t)-1:0];
        default: ;
      endcase
    end
  end

  logic [COUNTER_COUNT-1:0][63:0] counters;
  logic [GUARDS_MAX-1:0][63:0] guards;
  assign counters_o = {guards, counters};

  weir_core #(
      .BYTES         (BYTES),
      .QUEUES_LOG2   (QUEUES_LOG2),
      .BUCKETS_LOG2  (BUCKETS_LOG2),
      .PINS_LOG2     (16),
      .RESIDENTS_LOG2(18),
      .IN_FLIGHT_LOG2(16)
  ) dut (
      .clk_i           (clk_i),
      .rst_i           (in.rst),
      .config_i        (config_in),
      .queues_i        (queues),
      .host_i          (host),
      .active_i        (active),
      .geometry_i      (geometry_q),
      .sets_i          (sets_q),
      .list_limit_i    (list_limit_q),
      .heartbeat_i     (in.heartbeat),
      .flush_i         (in.flush),
      .over_i          (in.over),
      .time_valid_i    (in.time_valid),
      .time_i          (in.time_of),
      .valid_i         (in.valid),
      .ready_o         (out.ready),
      .last_i          (in.last),
      .count_i         (in.count[$clog2(BYTES):0]),
      .data_i          (in.data[BYTES*8-1:0]),
      .link_i          (in.link),
      .wire_length_i   (in.wire_length),
      .number_i        (in.number),
      .frame_time_i    (in.frame_time),
      .hold_i          (in.hold),
      .lossy_i         (in.lossy),
      .taken_o         (out.taken),
      .waits_o         (out.waits),
      .stalled_o       (out.stalled),
      .rest_o          (out.rest),
      .ended_o         (out.ended),
      .frame_number_o  (out.number),
      .frame_now_o     (out.now),
      .expired_o       (out.expired),
      .store_valid_o   (out.store_valid),
      .store_ready_i   (in.store_ready),
      .store_o         (store),
      .read_o          (read),
      .read_i          ('{valid: in.read_valid, fault: in.read_fault, data: in.read_data}),
      .tx_consumer_o   (consumer),
      .error_o         (error),
      .egress_o        (egress),
      .egress_ready_i  (in.egress_ready),
      .counters_o      (counters),
      .guard_counters_o(guards),
      .write_i         (in.write && in.write_table < 8'd13),
      .write_bank_i    (bank),
      .write_table_i   (in.write_table[3:0]),
      .write_length_i  (in.write_length[2:0]),
      .write_part_i    (in.write_part[3:0]),
      .write_address_i (in.write_address[23:0]),
      .write_data_i    (in.write_data)
  );

  assign out.pad_1 = '0;
  assign out.pad_2 = '0;
  assign out.pad_3 = '0;
  assign out.store_address = store.address;
  assign out.store_bytes = 8'(store.bytes);
  assign out.store_ending = 8'(store.ending);
  assign out.store_data = store.data;
  assign out.read_valid = read.valid;
  assign out.read_address = read.address;
  assign out.read_bytes = 8'(read.bytes);
  assign out.egress_valid = egress.valid;
  assign out.egress_last = egress.last;
  assign out.egress_kind = egress.kind;
  assign out.egress_port = egress.port;
  assign out.egress_number = egress.number;
  assign out.egress_bytes = 8'(egress.bytes);
  assign out.egress_data = egress.data;
  assign out.error_valid = error.valid;
  assign out.error_code = error.code;
  assign out.error_detail = error.detail;
  assign out.tx_consumer = 128'(consumer);

endmodule

`default_nettype wire
