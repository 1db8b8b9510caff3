// MariaDB used through the forwarder: dumps that must come back equal, and the errors that it
// counts against a host, of which the forwarder must cause none.
import Foundation
import Testing

@Suite(.serialized, .timeLimit(.minutes(6)))
struct MariaDBTests {
  @Test(arguments: [Transfer.auto, .splice])
  func aDumpRestoredThroughTheForwarderHasTheSameChecksums(transfer: Transfer) throws {
    try withMariaDB { direct in
      try withForwarder(to: direct.port, transfer) { sidecar in
        let client = direct.via(sidecar)
        let directory = try ScratchDirectory()
        try fill(direct)
        let original = directory.path("original.sql")
        let dumped = directory.path("dumped.sql")
        try dump(direct, to: original)
        try dump(client, to: dumped)
        #expect(sizeOfFile(original) > 20 << 20)
        try Program(["cmp", original, dumped]).run()
        try client.query("create database restored")
        var restore = client.tool("mariadb", ["--database=restored"])
        restore.input = dumped
        try restore.run()
        for table in ["people", "files"] {
          let sums = try direct.query("checksum table original.\(table), restored.\(table)")
            .split(separator: "\n").map { $0.split(separator: "\t").last ?? "" }
          #expect(sums.count == 2 && sums[0] == sums[1] && sums[0] != "NULL", "\(sums)")
        }
      }
    }
  }

  /// Whoever connects to MariaDB and leaves before the handshake is over counts as an error of the
  /// host that it came from; after `max_connect_errors` the host is blocked, and behind a forwarder
  /// all come from one host. A loopback address is never blocked, so the counters must tell.
  @Test func neitherProbesNorShortConnectionsAreErrorsToTheServer() throws {
    try withMariaDB { direct in
      try withForwarder(to: direct.port) { sidecar in
        let before = try direct.counters(like: "^connections$")
        // Whoever has left before the daemon can look at him must never be noticed by the server.
        try sidecar.process.suspend()
        try probe(sidecar.port, times: 150)
        for _ in 0..<150 { try sidecar.connect().close() }
        sidecar.process.resume()
        let options = ["--concurrency=8", "--number-of-queries=800", "--detach=1"]
        let query = ["--query=select 1", "--create-schema=mysql"]
        try direct.via(sidecar).tool("mariadb-slap", options + query).run()
        let after = try direct.counters(like: "^connections$")
        #expect(after["Connections"]! - before["Connections"]! >= 800)
        let errors = try direct.counters(like: errors)
        #expect(errors.isEmpty)
      }
    }
  }

  /// How long a probe holds its connection depends on how busy the machine is; the forwarder waits
  /// for it a moment only, because each client of a server that greets first waits as long.
  @Test func fewProbesReachTheServerEvenOnABusyMachine() throws {
    try withMariaDB { direct in
      try withForwarder(to: direct.port) { sidecar in
        try probe(sidecar.port, times: 150)
        pause(.milliseconds(300))  // the last of them may be on its way
        let reached = try direct.counters(like: errors)["Aborted_connects"] ?? 0
        figure("probes of 150 that reach the server", Double(reached), "probes", goal: "< 75")
        #expect(reached < 75)
      }
      // The negative control: the server does count probes that reach it.
      let before = try direct.counters(like: errors)["Aborted_connects"] ?? 0
      try probe(direct.port, times: 5)
      try eventually("probes are counted") {
        try direct.counters(like: errors)["Aborted_connects"] == before + 5
      }
    }
  }

  private let errors = "^(aborted|connection_errors)_"

  /// `nc -z`, as health checks and waiting scripts do it.
  private func probe(_ port: UInt16, times: Int) throws {
    let script = "for probe in $(seq \(times)); do nc -z 127.0.0.1 \(port) || exit 1; done"
    try Program(["sh", "-c", script]).run()
  }

  /// Text and decimals in many rows, blobs of any byte from 512 bytes to 8 MiB.
  private func fill(_ client: MariaDB) throws {
    try client.query("create database original")
    try client.query(
      """
      create table people (id int primary key, name varchar(80), worth decimal(12,2), born date);
      insert into people select seq, concat('naïve ''"\\\\ ', md5(seq)), seq / 7,
        date_add('1950-01-01', interval seq % 20000 day) from seq_1_to_50000;
      create table files (id int primary key, body longblob);
      insert into files select seq, unhex(repeat(sha2(seq, 512), 8)) from seq_1_to_1000;
      insert into files select 1000 + seq, repeat(unhex(sha2(seq, 512)), 131072) from seq_1_to_2;
      """, on: "original")
  }

  private func dump(_ client: MariaDB, to path: String) throws {
    var program = client.tool("mariadb-dump", ["--skip-dump-date", "original"])
    program.output = path
    try program.run()
  }
}
