// How sockets come to be: listening, accepting, connecting, and the options they are given.
import Glibc
import Linux
import Testing

@Suite(.timeLimit(.minutes(6))) struct SocketSetupTests {
  @Test func aListenerTellsWhereAConnectionIsFrom() throws {
    let connection = try Connection()
    let near = try connection.near.localAddress()
    let peer = connection.peer
    #expect(peer == near)
    #expect(near == .loopback(port: near.port) && near.isIPv4 && near.port != 0)
  }

  @Test(.enabled(if: SocketAddress.machineHasIPv6))
  func iPv6IsServedWhereTheMachineHasIt() throws {
    let listener = try Socket.listening(
      on: .loopbackIPv6(port: 0), port: 0, keepalive: keepalive)
    let port = try listener.localAddress().port
    let connection = try Connection(listener: listener, to: .loopbackIPv6(port: port))
    let peer = connection.peer
    #expect(peer == .loopbackIPv6(port: peer.port) && !peer.isIPv4)
  }

  @Test(arguments: [false, true]) func listeningOnEveryAddressServesBothFamilies(ipv6: Bool)
    throws
  {
    guard !ipv6 || SocketAddress.machineHasIPv6 else { return }
    let listener = try Socket.listening(on: nil, port: 0, keepalive: keepalive)
    let port = try listener.localAddress().port
    let target: SocketAddress = ipv6 ? .loopbackIPv6(port: port) : .loopback(port: port)
    let connection = try Connection(listener: listener, to: target)
    let peer = connection.peer
    #expect(peer.isIPv4 == !ipv6)
  }

  @Test func aPortInUseIsRefused() throws {
    let listener = try Socket.listening(on: .loopback(port: 0), port: 0, keepalive: keepalive)
    let address = try listener.localAddress()
    let error = failure { () throws(Errno) in
      _ = try Socket.listening(on: address, port: address.port, keepalive: keepalive)
    }
    #expect(error == .addressInUse)
    let onAll = failure { () throws(Errno) in
      _ = try Socket.listening(on: nil, port: address.port, keepalive: keepalive)
    }
    #expect(onAll == .addressInUse)
    close(listener)
  }

  @Test func anAddressOfSomebodyElseIsRefused() {
    // 192.0.2.1, kept for documentation (RFC 5737).
    let elsewhere = SocketAddress(high: 0, low: 0xffff_c000_0201, port: 0)
    let error = failure { () throws(Errno) in
      _ = try Socket.listening(on: elsewhere, port: 0, keepalive: keepalive)
    }
    #expect(error == .addressNotAvailable)
  }

  @Test func nobodyWaitingIsNotAnError() throws {
    let listener = try Socket.listening(on: .loopback(port: 0), port: 0, keepalive: keepalive)
    let accepted = try listener.accept()
    #expect(accepted == nil)
  }

  @Test func acceptedSocketsHaveTheOptionsThatOthersAreGiven() throws {
    let connection = try Connection()
    for number in [connection.near.number, connection.far.number] {
      let tcp = Int32(IPPROTO_TCP)
      #expect(option(number, tcp, TCP_NODELAY) == 1)
      #expect(option(number, SOL_SOCKET, SO_KEEPALIVE) == 1)
      #expect(option(number, SOL_SOCKET, SO_OOBINLINE) == 1)
      #expect(option(number, tcp, TCP_KEEPIDLE) == 11)
      #expect(option(number, tcp, TCP_KEEPINTVL) == 7)
      #expect(option(number, tcp, TCP_USER_TIMEOUT) == 23_000)
      #expect(fcntl(number, F_GETFL) & O_NONBLOCK != 0)
      #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
    }
    connection.near.setUserTimeout(milliseconds: 0)
    let timeout = option(connection.near.number, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT)
    #expect(timeout == 0)
  }

  @Test func aPortWithoutAListenerRefuses() throws {
    // Bound and not listening: the port cannot become somebody else's meanwhile.
    let holder = try Socket.stream(for: .loopback(port: 0))
    var raw = sockaddr_in()
    raw.sin_family = sa_family_t(AF_INET)
    raw.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let bound = withUnsafePointer(to: &raw) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(holder.number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    #expect(bound == 0)
    let address = try holder.localAddress()
    let socket = try Socket.stream(for: address)
    let result = try finishConnecting(socket, to: address)
    #expect(result == .failed(.refused))
    let ended = failure { () throws(Errno) in try socket.endSending() }
    #expect(ended == .notConnected)
    close(holder)
  }

  @Test func connectingAgainTellsThatItIsConnected() throws {
    let connection = try Connection()
    let address = try connection.far.localAddress()
    let result = connection.near.connect(to: address)
    #expect(result == .connected)
  }

  /// Neighbours are closed with one call, others with two, and what lies between stays open.
  @Test(arguments: [1, 2] as [Int32]) func bothSocketsAreClosed(distance: Int32) throws {
    let one = try Connection()
    let other = try Connection()
    let between = try Connection()
    let first = fcntl(one.far.number, F_DUPFD, 900)
    let last = fcntl(other.far.number, F_DUPFD, first + distance)
    let kept = fcntl(between.far.number, F_DUPFD, first + 1)
    close(one.far)
    close(other.far)
    close(between.far)
    Socket.close(Socket(owning: last), Socket(owning: first))
    let (atOne, _) = try one.near.receive(1)
    let (atOther, _) = try other.near.receive(1)
    #expect(atOne == .ended && atOther == .ended)
    #expect(!polls(between.near.number, POLLIN, within: 0))
    closeDescriptor(kept)
  }

  @Test func anOwnerThatEndsClosesItsDescriptor() throws {
    let connection = try Connection()
    close(connection.near)
    let (result, _) = try connection.far.receive(1)
    #expect(result == .ended)
  }
}
