//! `Enrolment`: the only service that answers without a client certificate.

use holdfast_chassis::{identity::Identity, tls::PeerInfo};
use holdfast_proto::wire;
use tonic::{Request, Response, Status};

use crate::{fleet::Fleet, identity::Registrar};

#[derive(Debug, Clone)]
pub struct EnrolmentService {
    registrar: Registrar,
    fleet: Fleet,
}

impl EnrolmentService {
    #[must_use]
    pub fn new(registrar: Registrar, fleet: Fleet) -> Self {
        Self { registrar, fleet }
    }
}

#[tonic::async_trait]
impl wire::enrolment_server::Enrolment for EnrolmentService {
    async fn enrol(
        &self,
        request: Request<wire::EnrolRequest>,
    ) -> Result<Response<wire::EnrolResponse>, Status> {
        let from = PeerInfo::of(&request)?.address;
        let wire::EnrolRequest { token, csr } = request.into_inner();
        let enrolled = self.registrar.enrol(from, &token, &csr).await?;
        if let Identity::Host(name) = &enrolled.identity
            && let Ok(host) = name.parse()
        {
            self.fleet.enrolled(&host, enrolled.at);
        }
        Ok(Response::new(wire::EnrolResponse {
            name: enrolled.identity.to_string(),
            certificate_chain: enrolled.chain,
            authorities: enrolled.authorities,
        }))
    }
}
