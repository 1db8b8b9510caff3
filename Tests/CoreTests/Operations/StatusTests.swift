// The status as a table and as JSON, out of a report with everything in it.
import Foundation
import Testing

@testable import Core

private let moment = Instant(nanoseconds: 1_000_000_000_000)

func endpoint(_ address: UInt32, _ port: UInt16) -> Endpoint {
  Endpoint(address: ipv4(address), port: port)
}

func view(
  _ id: UInt64, age: Nanoseconds, state: ConnectionView.State = .open, address: Endpoint? = nil
) -> ConnectionView {
  ConnectionView(
    id: id, client: endpoint(0x7f00_0001, 40_000 + UInt16(id)), address: address, forward: 0,
    acceptedAt: moment - age, lastMoved: moment - .milliseconds(5), toTargetBytes: 17,
    toClientBytes: 1_536, state: state)
}

func emptyReport(_ state: StatusReport.State) -> StatusReport {
  StatusReport(
    now: moment, startedAt: moment - .seconds(14_520),
    startedWallTime: WallTime(nanosecondsSince1970: 1_795_231_938_123_456_789),
    version: [UInt8]("1.2.3"), state: state)
}

/// Two forwards: one to a name that is well, one to an address that failed 12 s ago.
func fullReport() -> StatusReport {
  var report = emptyReport(.serving)
  report.workers = 2
  report.maxConnections = 9_853
  report.openConnections = 3
  report.descriptors = 21
  report.maxDescriptors = 20_000
  report.pipes = 1
  report.maxPipes = 256
  report.lostLogLines = 4
  var answer = NameAnswer()
  answer.addresses = [ipv4(0x0a00_0105), IPAddress(high: 0x2001_0db8_0000_0000, low: 1)]
  answer.freshUntil = moment + .seconds(4)
  let first = counts([
    Count.accepted: 12, Count.gone: 9, Count.established: 10, Count.absorbed: 2,
    Count.toTargetBytes: 1_536, Count.toClientBytes: 244_318_208,
    Count.lastSuccess: UInt64((moment - .seconds(3)).nanoseconds),
    Count.connectTime(.milliseconds(2)): 10, Count.connectTimeSum: 15_250,
    Count.duration(.seconds(3)): 6, Count.duration(.seconds(90_000)): 1,
    Count.durationSum: 90_018_000_042, Count.ending(.client, .closed): 6,
    Count.ending(.sidecar, .idleTimeout): 1,
  ])
  let second = counts([
    Count.accepted: 1, Count.gone: 1, Count.failure(.refused): 1, Count.lastCause: 0,
    Count.lastFailure: UInt64((moment - .seconds(12)).nanoseconds),
  ])
  let listen = IPAddress(high: 0, low: 0)
  report.forwards = [
    ForwardStatus(
      listen: Endpoint(address: listen, port: 5432), target: target("db.example", 5432),
      counts: first, answer: answer),
    ForwardStatus(
      listen: Endpoint(address: listen, port: 33060),
      target: Target(
        host: [UInt8]("10.0.1.6"), kind: .address(ipv4(0x0a00_0106)), port: 3306),
      counts: second, answer: nil),
  ]
  report.sandbox = .on(landlock: 7)
  report.connections = [
    view(3, age: .seconds(14_000), address: endpoint(0x0a00_0105, 5432)),
    view(7, age: .seconds(61), state: .clientEnded, address: endpoint(0x0a00_0105, 5432)),
    view(9, age: .milliseconds(7), state: .resolving),
  ]
  return report
}

struct StatusTableTests {
  @Test func theWholeTable() {
    #expect(
      text(fullReport().table) == """
        sidecar 1.2.3  serving  up 4h2m  workers 2  sandbox on

        LISTEN      TARGET           OPEN  TOTAL  FAILED  ABSORBED  TO TARGET  TO CLIENT
        [::]:5432   db.example:5432     3     12       0         2    1.5 KiB    233 MiB
        [::]:33060  10.0.1.6:3306       0      1       1         0        0 B        0 B
        db.example:5432: 10.0.1.5 2001:db8::1 (TTL 4s left); reached 3s ago
        10.0.1.6:3306: not reached yet; failed 12s ago: refused

        connections 3/9853  descriptors 21/20000  pipes 1/256  log lines lost 4

        CLIENT           TARGET ADDRESS    AGE  IDLE  TO TARGET  TO CLIENT  STATE
        127.0.0.1:40003  10.0.1.5:5432   3h53m   5ms       17 B    1.5 KiB  open
        127.0.0.1:40007  10.0.1.5:5432    1m1s   5ms       17 B    1.5 KiB  client_ended
        127.0.0.1:40009  -                 7ms   5ms       17 B    1.5 KiB  resolving

        """)
  }

  @Test func asleepThereIsOneLine() {
    #expect(text(emptyReport(.asleep).table) == "sidecar 1.2.3  asleep  up 4h2m  sandbox off\n")
  }

  @Test func theYoungerOnesAreCounted() {
    var report = fullReport()
    report.openConnections = 80
    #expect(text(report.table).hasSuffix("resolving\nand 77 younger ones\n"))
    report.silentWorkers = 1
    #expect(text(report.table).contains("\n1 workers gave no answer within a second: "))
  }

  @Test func whatIsKnownOfTheName() {
    var report = fullReport()
    func line(_ change: (inout NameAnswer) -> Void) -> String {
      change(&report.forwards[0].answer!)
      return text(report.table).split(separator: "\n").first { $0.hasPrefix("db.example") }
        .map { String($0.dropFirst("db.example:5432: ".count)) } ?? ""
    }
    let reached = "; reached 3s ago"
    let addresses = "10.0.1.5 2001:db8::1"
    #expect(
      line { $0.freshUntil = moment } == "\(addresses) (TTL over; looked up when needed)\(reached)")
    #expect(
      line { $0.isStale = true } == "\(addresses) (stale: no name server answers)\(reached)")
    #expect(
      line {
        $0.failure = .nameNotFound
        $0.addresses = []
      } == "name_not_found" + reached)
    #expect(line { $0 = NameAnswer() } == "not looked up yet" + reached)
  }
}

struct StatusJSONTests {
  private func parse(_ report: StatusReport) throws -> [String: Any] {
    #expect(report.json.last == UInt8(ascii: "\n"))
    #expect(report.json.count { $0 == UInt8(ascii: "\n") } == 1)
    let parsed = try JSONSerialization.jsonObject(with: Data(report.json))
    return try #require(parsed as? [String: Any])
  }

  @Test func theWholeObject() throws {
    let object = try parse(fullReport())
    #expect(object["version"] as? String == "1.2.3")
    #expect(object["state"] as? String == "serving")
    #expect(object["sandbox"] as? String == "on")
    #expect(object["uptime_seconds"] as? Double == 14_520)
    let numbers = [
      "workers": 2, "silent_workers": 0, "connections_open": 3, "connections_limit": 9_853,
      "descriptors_open": 21, "descriptors_limit": 20_000, "pipes_open": 1, "pipes_limit": 256,
      "log_lines_lost": 4, "landlock": 7,
    ]
    for (key, number) in numbers { #expect(object[key] as? Int == number, "\(key)") }
    #expect(object.count == numbers.count + 6)
  }

  @Test func aForward() throws {
    let forwards = try #require(try parse(fullReport())["forwards"] as? [[String: Any]])
    #expect(forwards.count == 2)
    let first = forwards[0]
    #expect(first["listen"] as? String == "[::]:5432")
    #expect(first["target"] as? String == "db.example:5432")
    let numbers = [
      "open": 3, "accepted": 12, "established": 10, "failed": 0, "absorbed": 2,
      "to_target_bytes": 1_536, "to_client_bytes": 244_318_208,
    ]
    for (key, number) in numbers { #expect(first[key] as? Int == number, "\(key)") }
    #expect(first["last_success_seconds_ago"] as? Double == 3)
    #expect(first["last_failure_cause"] == nil)
    #expect(first["addresses"] as? [String] == ["10.0.1.5", "2001:db8::1"])
    #expect(first["ttl_seconds_left"] as? Double == 4)
    #expect(first["stale"] as? Bool == false)
    #expect(forwards[1]["last_failure_seconds_ago"] as? Double == 12)
    #expect(forwards[1]["last_failure_cause"] as? String == "refused")
    #expect(forwards[1]["addresses"] == nil)
  }

  @Test func aConnection() throws {
    let object = try parse(fullReport())
    let connections = try #require(object["connections"] as? [[String: Any]])
    #expect(connections.map { $0["connection"] as? Int } == [3, 7, 9])
    #expect(connections[0]["client"] as? String == "127.0.0.1:40003")
    #expect(connections[0]["address"] as? String == "10.0.1.5:5432")
    #expect(connections[0]["forward"] as? Int == 0)
    #expect(connections[0]["age_seconds"] as? Double == 14_000)
    #expect(connections[0]["idle_seconds"] as? Double == 0.005)
    #expect(connections[0]["to_target_bytes"] as? Int == 17)
    #expect(connections[0]["to_client_bytes"] as? Int == 1_536)
    #expect(connections.map { $0["state"] as? String } == ["open", "client_ended", "resolving"])
    #expect(connections[2]["address"] == nil)
  }

  @Test func anEmptyReportAndAnyVersionAreJSON() throws {
    var report = emptyReport(.asleep)
    report.version = Array(0...255)
    let object = try parse(report)
    let characters = (0...255).map { Character(UnicodeScalar(UInt8($0))) }
    #expect(object["version"] as? String == String(characters))
    #expect((object["forwards"] as? [Any])?.isEmpty == true)
    #expect((object["connections"] as? [Any])?.isEmpty == true)
  }
}

struct OldestConnectionsTests {
  @Test(arguments: [0, 1, 49, 50, 51, 200], [1 as UInt64, 2, 3])
  func theFiftyOldestAreKeptInTheirOrder(count: Int, seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let ages = (0..<count).map { Int64($0) * 10 + 3 }.shuffled(using: &generator)
    var oldest = OldestConnections()
    for (id, age) in ages.enumerated() { oldest.add(view(UInt64(id), age: .seconds(age))) }
    let kept = oldest.views.map { (moment - $0.acceptedAt).count / 1_000_000_000 }
    #expect(kept == Array(ages.sorted(by: >).prefix(50)))
  }

  @Test func ofEquallyOldOnesTheFirstAreKept() {
    var oldest = OldestConnections()
    for id in 1...60 { oldest.add(view(UInt64(id), age: .seconds(1))) }
    #expect(oldest.views.map { $0.id } == Array(1...50))
    #expect(!oldest.wants(acceptedAt: moment - .seconds(1)))
    #expect(oldest.wants(acceptedAt: moment - .seconds(2)))
  }
}
