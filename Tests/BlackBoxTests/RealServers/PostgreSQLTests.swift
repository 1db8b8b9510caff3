// PostgreSQL used through the forwarder: its own benchmark, dumps, COPY and cancel requests. What
// must hold is that nobody can tell from the results that a forwarder was there.
import Foundation
import Testing

@Suite(.serialized, .timeLimit(.minutes(6)))
struct PostgreSQLTests {
  @Test(arguments: Transfer.allCases)
  func pgbenchLosesNoTransactionAndItsSumsAgree(transfer: Transfer) throws {
    try withPostgreSQL { direct in
      try withForwarder(to: direct.port, transfer) { sidecar in
        let client = direct.via(sidecar)
        try client.query("create database bench")
        try client.tool("pgbench", ["-i", "-q", "-s", "2"], on: "bench").run()
        let runs = [
          (["-S", "-t", "500"], 4_000), (["-t", "100"], 800), (["-C", "-t", "25"], 200),
          (["-C", "-S", "-M", "prepared", "-t", "25"], 200),
        ]
        for (arguments, expected) in runs {
          let report = try client.tool(
            "pgbench", ["-n", "-c", "8", "-j", "2"] + arguments, on: "bench"
          ).run()
          #expect(report.contains("actually processed: \(expected)/\(expected)\n"), "\(report)")
          #expect(report.contains("failed transactions: 0 (0.000%)"), "\(report)")
        }
        // TPC-B books every amount four times. The forwarder must not be the judge of that.
        let sums = try direct.query(
          """
          select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from
          pgbench_tellers), (select sum(bbalance) from pgbench_branches),
          (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)
          """, on: "bench"
        ).split(separator: "|")
        #expect(sums.count == 5 && Set(sums.prefix(4)).count == 1, "\(sums)")
        #expect(sums.last == "1000")
      }
    }
  }

  @Test func aDumpRestoredThroughTheForwarderIsTheSameDatabase() throws {
    try withPostgreSQL { direct in
      try withForwarder(to: direct.port) { sidecar in
        let client = direct.via(sidecar)
        let directory = try ScratchDirectory()
        try fill(direct)
        let original = directory.path("original.sql")
        let dumped = directory.path("dumped.sql")
        let restored = directory.path("restored.sql")
        try dump(direct, "original", to: original)
        try dump(client, "original", to: dumped)
        try client.query("create database restored")
        var restore = try client.psql([], on: "restored")
        restore.input = dumped
        try restore.run()
        try dump(direct, "restored", to: restored)
        let size = sizeOfFile(original)
        #expect(size > 30 << 20)
        try Program(["cmp", original, dumped]).run()
        try Program(["cmp", original, restored]).run()
      }
    }
  }

  @Test(arguments: Transfer.allCases)
  func aLargeCopyIsExactInBothDirections(transfer: Transfer) throws {
    try withPostgreSQL { direct in
      try withForwarder(to: direct.port, transfer) { sidecar in
        let client = direct.via(sidecar)
        let directory = try ScratchDirectory()
        let file = directory.path("rows")
        try direct.query(
          """
          create table sent as select n, md5(n::text) as name,
          decode(repeat(md5((-n)::text), 8), 'hex') as body from generate_series(1, 150000) n
          """, "create table received (like sent)")
        var out = try client.psql(["copy sent to stdout (format binary)"])
        out.output = file
        try out.run()
        var back = try client.psql(["copy received from stdin (format binary)"])
        back.input = file
        try back.run()
        let size = sizeOfFile(file)
        #expect(size > 25 << 20)
        let different = try direct.query(
          """
          select (select count(*) from received),
          (select count(*) from (table sent except all table received) lost)
          """)
        #expect(different == "150000|0")
      }
    }
  }

  /// A cancel request is a connection of its own that sends 16 bytes and expects nothing back.
  @Test func aCancelRequestReachesTheServer() throws {
    try withPostgreSQL { direct in
      try withForwarder(to: direct.port) { sidecar in
        let running = try direct.via(sidecar).psql(["select pg_sleep(30)"]).start()
        let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        try eventually("the statement runs") { try direct.query(sleeping) == "1" }
        // psql turns SIGINT into a cancel request.
        running.send(SIGINT)
        #expect(try running.waitForEnd(within: .seconds(10)) == .exit(1))
        running.errors.waitForEnd()
        #expect(running.errors.text.contains("canceling statement due to user request"))
      }
    }
  }

  /// Text that compresses, bytes that do not, and a sequence that must keep its place.
  private func fill(_ client: PostgreSQL) throws {
    try client.query("create database original")
    try client.query(
      "create table people (id serial primary key, name text, born date, worth numeric)",
      """
      insert into people (name, born, worth) select 'naïve \\ "name" ' || md5(n::text),
      date '1950-01-01' + n % 20000, n / 7.0 from generate_series(1, 100000) n
      """,
      "create table files (id int primary key, body bytea)",
      """
      insert into files select f, (select string_agg(sha512((f || '/' || n)::bytea), '')
      from generate_series(1, 16384) n) from generate_series(1, 12) f
      """,
      "create index on people (born)", on: "original")
  }

  /// Newer releases of pg_dump open and close a dump with a random key, in lines of their own.
  private func dump(_ client: PostgreSQL, _ database: String, to path: String) throws {
    var program = try client.tool("pg_dump", [], on: database)
    program.output = path
    try program.run()
    try Program(["sed", "-i", "-E", #"/^\\(un)?restrict /d"#, path]).run()
  }
}
