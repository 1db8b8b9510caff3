// `sidecar probe`: each leg with its time, each broken one with advice and an exit code of its own.
import Foundation
import Testing

private func probe(
  _ words: [String] = [], _ settings: [String: String] = [:], wrapper: [String] = []
) throws -> Answer {
  try runSidecar(["probe"] + words, settings, wrapper: wrapper)
}

/// Checks the exit code, that something is said about it, and that nothing is on standard error.
private func expect(
  _ answer: Answer, _ code: Int32, _ texts: String...,
  at location: SourceLocation = #_sourceLocation
) {
  #expect(answer.ended == .exit(code), "\(answer.text)", sourceLocation: location)
  #expect(answer.errors == [], sourceLocation: location)
  for text in texts { #expect(answer.text.contains(text), sourceLocation: location) }
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct ProbeTests {
  @Test func aTargetThatIsReachedIsToldInLegs() throws {
    let target = try Target()
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": "\(target.port)"]
    let answer = try probe([], settings)
    expect(answer, 0)
    try target.accept().expect(.closed)
    #expect(!target.isBeingCalled, "one connection, not more")
    let lines = answer.lines
    #expect(lines[0].hasPrefix("names by /etc/resolv.conf: servers "))
    #expect(lines[1].wholeMatch(of: /limits: nofile \d+, pipe quota \d+ pages, CPUs \d+/) != nil)
    #expect(lines[lines.count - 2] == "127.0.0.1:\(target.port)")
    let leg = try #require(lines.last)
    #expect(leg.wholeMatch(of: #/  connect  127\.0\.0\.1:\d+ in \d+\.\d ms/#) != nil)
  }

  @Test func eachLegHasItsExitCode() throws {
    let well = try Target()
    let nobody = try ReservedPort()
    let server = try TinyNameServer(knowing: "db.test", ttl: 7)
    let name = "db.test:\(well.port)"
    let reached = try probe([name], server.settings)
    expect(reached, 0, "A in ", ": 127.0.0.1 (TTL 7s)", "AAAA in ", ": no address")
    let refused = try probe(["db.test:\(nobody.number)"], server.settings)
    expect(refused, 3, "FAILED refused after ", "nothing listens on that port")
    let missing = try probe(["other.test:\(well.port)"], server.settings)
    expect(missing, 2, "NXDOMAIN: no such name", "FAILED name_not_found", "private hosted zone")
    // The earliest leg that is broken tells most.
    let words = [name, "db.test:\(nobody.number)", "other.test:1"]
    expect(try probe(words, server.settings), 2)
    expect(try probe(Array(words[..<2]), server.settings), 3)
    for _ in 0..<3 { try well.accept().expect(.closed) }
    #expect(!well.isBeingCalled)
  }

  @Test func silentNameServersAreTold() throws {
    let server = try TinyNameServer(knowing: nil)
    let settings = server.settings.merging(["CONNECT_TIMEOUT": "700ms"]) { $1 }
    let answer = try probe(["db.test:1"], settings)
    expect(answer, 2, "FAILED name_servers_failed", "; 127.0.0.1:", "no name server gave an answer")
    #expect(answer.took < .seconds(5))
  }

  @Test func aSilentTargetIsTold() throws {
    let target = try Target()
    try target.goSilent()
    let answer = try probe(["127.0.0.1:\(target.port)"], ["CONNECT_TIMEOUT": "300ms"])
    expect(answer, 3, "FAILED timed_out after 3", "usually a security group")
  }

  @Test(.enabled(if: getuid() == 0, "unshare(1) needs root"))
  func aNetworkWithoutARouteIsTold() throws {
    let answer = try probe(["127.0.0.1:1"], wrapper: ["/usr/bin/unshare", "--net"])
    expect(answer, 3, "FAILED network_unreachable after ", "no route from here")
  }

  @Test func whatIsInTheHostsFileIsSaid() throws {
    let target = try Target()
    let answer = try probe(["localhost:\(target.port)"])
    expect(answer, 0, "  name     in /etc/hosts: ", "  connect  127.0.0.1:\(target.port) in ")
  }

  @Test func itWorksBesideASleepingDaemonWithAndWithoutTargets() throws {
    let target = try Target()
    try withSidecar(["MODE": "sleep"]) { sidecar in
      expect(try sidecar.ask("probe", "127.0.0.1:\(target.port)"), 0, "  connect  ")
      let answer = try sidecar.ask("probe")
      expect(answer, 64, "no target is configured: sidecar probe HOST:PORT")
    }
    let settings = [
      "MODE": "sleep", "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "\(target.port)",
    ]
    expect(try probe([], settings), 0, "  connect  127.0.0.1:\(target.port) in ")
  }

  @Test func aWrongConfigurationIsToldUnlessTargetsAreNamed() throws {
    let target = try Target()
    let missing = try probe()
    expect(missing, 78, "TARGET_HOST", "TARGET_PORT")
    expect(try probe(["127.0.0.1:\(target.port)"]), 0)
    expect(try probe(["127.0.0.1:\(target.port)"], ["CONNECT_TIMEOUT": "x"]), 78)
  }

  @Test func whatWillHurtIsSaid() throws {
    let target = try Target()
    let words = ["127.0.0.1:\(target.port)"]
    let few = ["/usr/bin/prlimit", "--nofile=1024:1024"]
    expect(try probe(words, wrapper: few), 0, "limits: nofile 1024,", "warning: nofile is 1024")
    expect(try probe(words, ["STOP_TIMEOUT": "26s"]), 0, "warning: DRAIN_DELAY and DRAIN_TIMEOUT")
    expect(try probe(words, ["DRAIN_TIMEOUT": "110s"]), 0, "warning: DRAIN_DELAY")
    let longer = ["DRAIN_TIMEOUT": "110s", "STOP_TIMEOUT": "120s"]
    #expect(try !probe(words, longer).text.contains("DRAIN_DELAY"))
    expect(try probe(words, ["STOP_TIMEOUT": "soon"]), 0, "warning: STOP_TIMEOUT is not a time")
    expect(try probe(words, ["PEER_TIMEOUT": "30m"]), 0, "warning: keepalive begins after")
  }
}

/// What speaks there, told by real servers, and by some that are none of them.
@Suite(.serialized, .timeLimit(.minutes(6)))
struct GreetingProbeTests {
  private func greet(_ port: UInt16) throws -> Answer {
    try probe(["--greet", "127.0.0.1:\(port)"])
  }

  @Test func databasesAreRecognized() throws {
    try withRedis { expect(try greet($0.port), 0, "  greet    Redis") }
    try withPostgreSQL { expect(try greet($0.port), 0, "  greet    PostgreSQL, without TLS") }
    try withMariaDB { server in
      let answer = try greet(server.port)
      let version = try server.query("select version()")
      expect(answer, 0, "  greet    MySQL ", version)
      expect(try greet(server.port), 0, "  greet    MySQL ")
      #expect(try server.query("select 1") == "1", "the host is not blocked")
    }
  }

  @Test func aServerBehindASidecarIsRecognizedToo() throws {
    try withRedis { server in
      try withForwarder(to: server.port) { sidecar in
        expect(try greet(sidecar.port), 0, "  greet    Redis")
      }
    }
  }

  @Test func aWebServerIsRecognized() throws {
    let port = try ReservedPort()
    let directory = try ScratchDirectory()
    var server = Program([
      "/usr/bin/python3", "-m", "http.server", "\(port.number)", "--bind", "127.0.0.1",
      "--directory", directory.root,
    ]).forAtMost(seconds: 60)
    server.output = directory.path("log")
    server.errors = server.output
    try whileRunning(server, port.number) {
      expect(try greet(port.number), 0, "  greet    HTTP")
    }
  }

  @Test func aTLSServerIsRecognized() throws {
    let port = try ReservedPort()
    let directory = try ScratchDirectory()
    let (key, certificate) = (directory.path("key"), directory.path("certificate"))
    try run(
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
      "-nodes", "-subj", "/CN=test", "-keyout", key, "-out", certificate)
    let server = Program([
      "openssl", "s_server", "-accept", "127.0.0.1:\(port.number)", "-key", key,
      "-cert", certificate, "-quiet", "-naccept", "100",
    ]).forAtMost(seconds: 60)
    try whileRunning(server, port.number) {
      expect(try greet(port.number), 0, "  greet    TLS")
    }
  }

  private func whileRunning(_ program: Program, _ port: UInt16, _ body: () throws -> Void) throws {
    let server = try program.start()
    defer { server.end(with: SIGTERM) }
    try eventually("it listens: \(server.errors.text)") {
      (try? Peer(connectingTo: port)) != nil
    }
    try body()
  }

  @Test func anEchoIsNoProtocol() throws {
    let target = try Target()
    let serving = target.serve(3) { peer in
      // The probe leaves after an answer, sometimes without reading it.
      while let bytes = try? peer.receive(exactly: 1) { try? peer.send(bytes) }
    }
    expect(try greet(target.port), 0, "  greet    an echo server")
    try serving.result()
  }

  @Test func aSilentServerIsTold() throws {
    let target = try Target()
    let answer = try greet(target.port)
    expect(answer, 4, "  greet    FAILED: it says nothing to MySQL", "another port's protocol")
    #expect(answer.took < .seconds(8))
  }

  /// As a sidecar or a load balancer whose own target is down.
  @Test(arguments: [Ending.closed, .reset])
  func aServerThatHangsUpIsTold(ending: Ending) throws {
    let target = try Target()
    let serving = Background("target") {
      // The first is only to be made: a reset might come before the probe has looked.
      try target.accept().expect(.closed)
      let peer = try target.accept()
      if ending == .reset { try peer.reset() } else { peer.close() }
    }
    let answer = try greet(target.port)
    expect(answer, 4, "  greet    FAILED: it hangs up before a word is said", "load balancer")
    #expect(answer.took < .seconds(1))
    try serving.result()
  }

  @Test func aServerThatGreetsInWordsIsQuoted() throws {
    let target = try Target()
    let serving = target.serve(2) { try? $0.send("220 mail.example ESMTP\r\n") }
    expect(
      try greet(target.port), 0, #"  greet    a server that greets with "220 mail.example ESMTP""#)
    try serving.result()
  }
}
