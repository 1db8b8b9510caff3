// What is asked over the control socket, what speaks behind a port, and what `sidecar probe` says.
import Testing

@testable import Core

struct ControlRequestTests {
  @Test(arguments: [ControlRequest.health, .target, .status, .statusJSON])
  func everyRequestIsReadAsItIsWritten(request: ControlRequest) {
    let line = [UInt8](request.line)
    let read = ControlRequest(line[...])
    #expect(read.map { "\($0)" } == "\(request)")
    #expect(line.count <= ControlRequest.maxBytes)
    #expect(ControlRequest(line.dropLast()) == nil)
    #expect(ControlRequest((line + line)[...]) == nil)
  }

  @Test(arguments: ["", "\n", "stop\n", "HEALTH\n", "health \n", "health\r\n", "status-jso\n"])
  func anythingElseIsNone(line: String) {
    #expect(ControlRequest([UInt8](line.utf8)[...]) == nil)
  }

  @Test(arguments: [(1, "sidecar-1"), (8080, "sidecar-8080"), (65535, "sidecar-65535")])
  func theNameHasThePortInIt(port: UInt16, name: String) {
    #expect(text(ControlRequest.socketName(port: port)) == name)
  }
}

struct GreetingTests {
  private func speaker(_ question: GreetingQuestion, _ answer: [UInt8]) -> String? {
    question.speaker(answer).map { text($0) }
  }

  /// A MySQL packet: its length in three bytes, its number, what is in it.
  private func packet(_ payload: [UInt8]) -> [UInt8] {
    [UInt8(payload.count & 255), UInt8(payload.count >> 8), 0, 0] + payload
  }

  /// As MySQL 8.0.36 and MariaDB 10.11.6 greet: a connection number and a scramble follow.
  @Test(arguments: ["8.0.36", "5.5.5-10.11.6-MariaDB-0+deb12u1"])
  func mySQLGreetsWithItsVersion(version: String) {
    let rest: [UInt8] = [0, 0x0b, 0, 0, 0, 0x3a, 0x12, 0x7e, 0x41, 0, 0xff, 0xf7]
    let greeting = packet([10] + [UInt8](version.utf8) + rest)
    #expect(speaker(.nothing, greeting) == "MySQL \(version)")
  }

  /// ERR_Packet 1130: Host '...' is not allowed to connect.
  @Test func mySQLMayRefuseThisHost() {
    let refusal: [UInt8] = [0xff, 0x6a, 0x04] + [UInt8]("Host '10.0.0.7' is not allowed".utf8)
    #expect(speaker(.nothing, packet(refusal)) == "MySQL, which refuses this host")
  }

  @Test func othersGreetInWords() {
    let ssh = speaker(.nothing, [UInt8]("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".utf8))
    #expect(ssh == #"a server that greets with "SSH-2.0-OpenSSH_9.2p1 Debian-2""#)
    #expect(speaker(.nothing, [UInt8]("HTTP/1.1 408 Request Timeout\r\n".utf8)) == "HTTP")
    #expect(speaker(.nothing, [1, 2, 3, 4, 5, 6, 7]) == nil)
    let long = [UInt8](repeating: UInt8(ascii: "x"), count: 500)
    #expect(speaker(.nothing, long)?.count == #"a server that greets with """#.count + 60)
  }

  @Test func postgreSQLAnswersWithOneLetter() {
    #expect(speaker(.postgreSQL, [UInt8(ascii: "S")]) == "PostgreSQL, with TLS")
    #expect(speaker(.postgreSQL, [UInt8(ascii: "N")]) == "PostgreSQL, without TLS")
    #expect(speaker(.postgreSQL, [UInt8]("No such command\r\n".utf8)) == nil)
    #expect(speaker(.postgreSQL, [0x15, 3, 1, 0, 2, 2, 70]) == nil)
  }

  @Test func redisAnswersThePing() {
    #expect(speaker(.redis, [UInt8]("+PONG\r\n".utf8)) == "Redis")
    let refusal = [UInt8]("-NOAUTH Authentication required.\r\n".utf8)
    #expect(speaker(.redis, refusal) == "Redis, which asks for a password")
    #expect(speaker(.redis, [UInt8]("-ERR unknown command\r\n".utf8)) == nil)
  }

  /// A ServerHello's record and a fatal alert (protocol_version), as OpenSSL 3.0 sends them.
  @Test func tlsAnswersWithARecord() {
    #expect(speaker(.tls, [0x16, 3, 3, 0, 0x3a, 2, 0, 0, 0x36, 3, 3]) == "TLS")
    #expect(speaker(.tls, [0x15, 3, 1, 0, 2, 2, 0x46]) == "TLS")
    #expect(speaker(.tls, [0x15, 3]) == nil)
    #expect(speaker(.tls, [UInt8]("HTTP/1.1 400 Bad Request".utf8)) == nil)
  }

  @Test func httpAnswersWithItsVersion() {
    #expect(speaker(.http, [UInt8]("HTTP/1.0 200 OK\r\nServer: x\r\n".utf8)) == "HTTP")
    #expect(speaker(.http, [UInt8]("<html>".utf8)) == nil)
  }

  @Test(arguments: GreetingQuestion.allCases)
  func silenceSaysNothingAndAnEchoSaysEcho(question: GreetingQuestion) {
    #expect(question.speaker([]) == nil)
    for count in 1..<max(1, question.bytes.count) + 1 where !question.bytes.isEmpty {
      #expect(speaker(question, Array(question.bytes.prefix(count))) == "an echo server")
    }
  }

  /// RFC 8446, section 4.1.2 and 5.1: lengths inside lengths.
  @Test func theClientHellosLengthsAreRight() {
    let hello = GreetingQuestion.tls.bytes
    #expect(Int(hello[3]) << 8 | Int(hello[4]) == hello.count - 5)
    #expect(Int(hello[6]) << 16 | Int(hello[7]) << 8 | Int(hello[8]) == hello.count - 9)
    let suites = Int(hello[44]) << 8 | Int(hello[45])
    #expect(hello.count == 46 + suites + 2)
  }
}

struct TargetTextTests {
  @Test(arguments: [
    ("db.example:5432", "db.example", 5432), ("DB.Example.:1", "DB.Example.", 1),
    ("10.0.0.1:65535", "10.0.0.1", 65535), ("[2001:db8::1]:5432", "2001:db8::1", 5432),
  ])
  func hostAndPortAreReadApart(word: String, host: String, port: UInt16) {
    let target = Target(hostAndPort: [UInt8](word.utf8)[...])
    #expect(target.map { text($0.host) } == host)
    #expect(target?.port == port)
  }

  @Test(arguments: [
    "", "db", "db:", ":5432", "db:0", "db:65536", "db:05432", "db:5432x", "2001:db8::1:5432",
    "[2001:db8::1]", "http://db:80", "user@db:5432", "db:5432/app", "0.0.0.0:80", "256.1:80",
    "db :80",
  ])
  func anythingElseIsRefused(word: String) {
    #expect(Target(hostAndPort: [UInt8](word.utf8)[...]) == nil)
  }
}

struct ProbeReportTests {
  private let address = endpoint(0x0a00_0105, 5432)
  private let server = endpoint(0x0a00_0002, 53)

  @Test func aLegHasALineAndABrokenOneAdvice() {
    var report = ProbeReport()
    report.begin(target("db.example", 5432))
    report.name(
      server: server, family: .ipv4, reply: .addresses([ipv4(0x0a00_0105)], ttl: 5),
      after: Nanoseconds(count: 1_234_567))
    report.connected(address, after: .milliseconds(3))
    report.connectFailed(address, .refused, after: .zero)
    report.spoke([UInt8]("Redis"))
    report.spoke(nil)
    report.hungUp()
    #expect(
      text(report.text) == """
        db.example:5432
          name     10.0.0.2:53 A in 1.2 ms: 10.0.1.5 (TTL 5s)
          connect  10.0.1.5:5432 in 3.0 ms
          connect  10.0.1.5:5432 FAILED refused after 0.0 ms
                   \(Failure.refused.advice)
          greet    Redis
          greet    FAILED: it says nothing to MySQL, PostgreSQL, Redis, TLS or HTTP
                   usually another port's protocol, or a proxy whose own target is not reached
          greet    FAILED: it hangs up before a word is said
                   usually a proxy or load balancer whose own target is not reached

        """)
    #expect(report.failure == .refused)
  }

  private func warnings(
    _ environment: Environment = [:], descriptors: Int = 65_536, stopTimeout: Int64 = 30
  ) throws -> String {
    var report = ProbeReport()
    report.warnings(
      try parse(proxy(environment)), descriptors: descriptors,
      stopTimeout: .seconds(stopTimeout))
    return text(report.text)
  }

  @Test func whatWillHurtIsSaidBefore() throws {
    #expect(try warnings() == "")
    #expect(try warnings(descriptors: 1_025) == "")
    #expect(try warnings(descriptors: 1_024).hasPrefix("warning: nofile is 1024 or less"))
    #expect(try warnings(stopTimeout: 27) == "")
    #expect(try warnings(stopTimeout: 26).hasPrefix("warning: DRAIN_DELAY and DRAIN_TIMEOUT"))
    #expect(try warnings(["DRAIN_DELAY": "3s", "DRAIN_TIMEOUT": "25s"]) == "")
    #expect(try warnings(["DRAIN_DELAY": "4s", "DRAIN_TIMEOUT": "25s"]).contains("DRAIN_DELAY"))
    #expect(try warnings(["PEER_TIMEOUT": "1050s"]) == "")
    #expect(try warnings(["PEER_TIMEOUT": "1051s"]).hasPrefix("warning: keepalive begins after"))
  }
}

struct OperationsSettingsTests {
  @Test func theControlSocketIsNamedByThePortThatIsListenedOn() throws {
    #expect(try parse(proxy()).controlPort == 8_080)
    #expect(try parse(proxy(["LISTEN_PORT": "5432"])).controlPort == 5_432)
    #expect(try parse(["MODE": "sleep"]).controlPort == 8_080)
    #expect(try parse(["MODE": "sleep", "LISTEN_PORT": "1"]).controlPort == 1)
  }

  @Test func theFirstForwardNamesTheControlSocket() throws {
    let forwards = ["FORWARDS": "5433=reader:5432,5432=writer:5432"]
    #expect(try parse(forwards).controlPort == 5_433)
  }

  @Test func theMetricsPageIsOffUnlessItIsAskedFor() throws {
    #expect(try parse(proxy()).metricsPort == nil)
    #expect(try parse(proxy()).metricsAddress == ipv4(0x7f00_0001))
  }

  @Test func aForwardedPortIsNoMetricsPort() {
    #expect(
      complaints(about: proxy(["METRICS_PORT": "8080"])) == [
        #"METRICS_PORT="8080": expected a port that is not forwarded"#
      ])
    let forwards = ["FORWARDS": "1=a:1,2=b:2", "METRICS_PORT": "2"]
    #expect(complaints(about: forwards).count == 1)
    #expect(complaints(about: proxy(["METRICS_PORT": "0"])).count == 1)
    #expect(complaints(about: proxy(["METRICS_PORT": "1", "METRICS_HOST": "db"])).count == 1)
  }
}
