"""Small tensors under short names, as source that either library runs: what the cases beside it compute with."""

MATRICES = """
z=torch.tensor(2.)
v3=torch.arange(3.)
v4=torch.arange(4.)+1
v2=torch.arange(2.)+1
m23=torch.arange(6.).reshape(2,3)
m34=torch.arange(12.).reshape(3,4)
m45=torch.arange(20.).reshape(4,5)
b234=torch.arange(24.).reshape(2,3,4)
b245=torch.arange(40.).reshape(2,4,5)
b345=torch.ones(3,4,5)
d=torch.double
I=lambda t:t.long()
"""

INDEXED = """
z=torch.tensor(1.)
v=torch.arange(3.)
m=torch.arange(6.).reshape(2,3)
i=torch.tensor([0,1])
im=torch.zeros(2,3,dtype=torch.long)
d=torch.double
i32=torch.tensor([0,1],dtype=torch.int32)
mk=m>2
"""

UNORDERED = """
z=torch.tensor(1.)
v=torch.tensor([3.,1.,2.,1.])
n=torch.tensor([3.,float('nan'),2.,1.])
m=torch.tensor([[3.,1.,2.],[2.,5.,2.]])
i=torch.tensor([3,1,2,1])
e=torch.empty(0)
e2=torch.empty(0,3)
c=m+1j*m
bl=torch.tensor([True,False,True])
"""
